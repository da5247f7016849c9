import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openTriedForms } from './tried-forms.ts';

const folder = await mkdtemp(join(tmpdir(), 'septum-tried-'));
await mkdir(join(folder, 'commits'));
afterAll(() => rm(folder, { recursive: true }));

const digestOf = (number: number): string => number.toString(16).padStart(64, '0');

test('what was tried is there when the folder is opened again, each party’s apart and the newest 64', async () => {
  const tried = openTriedForms(folder, 'site-1');
  for (let number = 0; number < 70; number++) await tried.add(digestOf(number));
  const again = openTriedForms(folder, 'site-1');
  expect([5, 6, 69, 70].map((number) => again.has(digestOf(number)))).toEqual([false, true, true, false]);
  expect(openTriedForms(folder, 'site-2').has(digestOf(69))).toBe(false);
});

test.each(['', 'nonsense', '{"format":2,"tried":[]}', '{"format":1,"tried":["x"]}'])(
  'a file that says %o says nothing, and is written anew',
  async (text) => {
    const path = join(folder, 'commits', 'server.tried');
    await writeFile(path, text);
    const tried = openTriedForms(folder, 'server');
    expect(tried.has(digestOf(1))).toBe(false);
    await tried.add(digestOf(1));
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ format: 1, tried: [digestOf(1)] });
  },
);
