import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import fc from 'fast-check';
import { DataError } from '../../base/index.ts';
import { createMemoryLog, type Json } from '../index.ts';
import { openFileLog, readFileLog } from './file-log.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-log-'));
afterAll(() => rm(root, { recursive: true }));
let count = 0;
const newPath = (): string => join(root, `${(count += 1)}.jsonl`);

async function entriesOf(path: string): Promise<Json[]> {
  const entries: Json[] = [];
  for await (const entry of readFileLog(path)) entries.push(entry);
  return entries;
}

test('entries come back in the order of their writes, also when nobody awaits each', async () => {
  const path = newPath();
  const entries = Array.from({ length: 2000 }, (_, step) => ({ step, text: 'x'.repeat(step % 200), site: 'ä\n' }));
  {
    await using log = await openFileLog(path, { bufferBytesMax: 1000 });
    await Promise.all(entries.map((entry) => log.write(entry)));
  }
  expect(await entriesOf(path)).toEqual(entries);
});

test('a writer waits while more than the bound is unwritten', async () => {
  const path = newPath();
  await using log = await openFileLog(path, { bufferBytesMax: 10_000 });
  for (let step = 0; step < 50; step += 1) {
    await log.write('x'.repeat(1000));
    const { length } = await readFile(path);
    expect((step + 1) * 1003 - length).toBeLessThanOrEqual(10_000);
  }
});

test('after sync, the entries are in the file', async () => {
  const path = newPath();
  const log = await openFileLog(path);
  for (let step = 0; step < 10; step += 1) void log.write(step);
  await log.sync();
  expect(await readFile(path, 'utf8')).toBe('0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n');
  await log.close();
  await log.close();
});

test('a log that was cut anywhere loses its last entry only, and goes on', async () => {
  const entries: Json[] = [{ step: 1 }, 12345, 'text', [null, true], { site: 'a', loss: 0.5 }];
  const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`);
  const whole = Buffer.from(lines.join(''));
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length), async (length) => {
      const path = newPath();
      await writeFile(path, whole.subarray(0, length));
      const kept = entries.filter((_, at) => Buffer.byteLength(lines.slice(0, at + 1).join('')) <= length);
      expect(await entriesOf(path)).toEqual(kept);
      await using log = await openFileLog(path);
      await log.write('next');
      await log.sync();
      expect(await entriesOf(path)).toEqual([...kept, 'next']);
    }),
    { numRuns: 60, seed: 6 },
  );
});

test('an unfinished line of any length is cut off', async () => {
  const path = newPath();
  await writeFile(path, `"first"\n"${'y'.repeat(200_000)}`);
  expect(await entriesOf(path)).toEqual(['first']);
  await (await openFileLog(path)).close();
  expect(await readFile(path, 'utf8')).toBe('"first"\n');
});

test('a line that is not JSON is an error with its number', async () => {
  const path = newPath();
  await appendFile(path, '1\n2\nx\n4\n');
  await expect(entriesOf(path)).rejects.toThrow(/cannot read line 3/);
});

test('a log that is not there has no entries; one that cannot be written is a typed error', async () => {
  expect(await entriesOf(newPath())).toEqual([]);
  await expect(openFileLog(join(root, 'no-such-folder', 'log.jsonl'))).rejects.toThrow(DataError);
});

test.each([
  ['file', (): ReturnType<typeof openFileLog> => openFileLog(newPath())],
  ['memory', async (): ReturnType<typeof openFileLog> => createMemoryLog()],
])('the %s log refuses what JSON cannot hold and what comes after its close', async (_name, open) => {
  const log = await open();
  await expect(log.write({ loss: Number.NaN })).rejects.toThrow('$.loss');
  await log.write(1);
  await log.close();
  await expect(log.write(2)).rejects.toThrow(DataError);
  await expect(log.sync()).rejects.toThrow(DataError);
});
