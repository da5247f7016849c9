import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openFilesMax, requireOpenFiles } from './open-files.ts';

it('reads how many files a process may have open, where the system says it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'septum-limits-'));
  const file = join(folder, 'limits');
  const line = (soft: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}    4096     files\n`;
  writeFileSync(file, line('1024'));
  expect(openFilesMax(file)).toBe(1024);
  writeFileSync(file, line('unlimited'));
  expect(openFilesMax(file)).toBeUndefined();
  expect(openFilesMax(join(folder, 'none'))).toBeUndefined();
  rmSync(folder, { recursive: true });
});

it('refuses a study with more sites than the process may have connections, and says what to do', () => {
  expect(() => requireOpenFiles(800, 1024)).not.toThrow();
  expect(() => requireOpenFiles(1064, 1024)).toThrow(/need 1192 open files, but this process may have 1024: raise the limit, for example with ulimit -n 2384/); // prettier-ignore
  expect(() => requireOpenFiles(1_000_000, Number.POSITIVE_INFINITY)).not.toThrow();
});
