// The package comes from whichever registry its user has configured; nothing here may name one.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const registryHost =
  /https?:\/\/[^/\s"']*(?:registry|npmjs|yarnpkg|npmmirror|artifactory|verdaccio|nexus)\b|^\s*registry\s*=/im;

it('the lock file records no host that a package came from', () => {
  const lock = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')) as {
    packages: Record<string, { resolved?: string; integrity?: string }>;
  };
  const entries = Object.entries(lock.packages).filter(([path]) => path !== '');
  expect(entries.length).toBeGreaterThan(50);
  expect(entries.filter(([, entry]) => entry.resolved !== undefined)).toEqual([]);
  expect(entries.filter(([, entry]) => entry.integrity === undefined).map(([path]) => path)).toEqual([]);
});

it('no file of the repository names a registry', () => {
  const paths = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean);
  expect(paths).toContain('package.json');
  expect(paths.filter((path) => registryHost.test(readText(path)))).toEqual([]);
});

it.each(['https://%.example.org/x', 'http://npm.%.example/x', '% = elsewhere'])(
  'would find such a line: %j',
  (pattern) => {
    expect(registryHost.test(pattern.replace('%', 'registry'))).toBe(true);
  },
);

function readText(path: string): string {
  try {
    return readFileSync(`${root}${path}`, 'latin1');
  } catch {
    return ''; // Listed by git and deleted from the working tree.
  }
}
