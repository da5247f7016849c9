import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { folder } from './septum.ts';

const root = resolve(import.meta.dirname, '../..');
const execute = promisify(execFile);

const reachesRegistry = await execute('npm', ['ping'], { cwd: root, timeout: 20_000 }).then(
  () => true,
  () => false,
);

// Without a registry the package's dependencies cannot be installed into an empty folder.
it.skipIf(!reachesRegistry)(
  `the packed package works where it is installed without scripts${reachesRegistry ? '' : ' (skipped: npm reaches no registry)'}`,
  { timeout: 400_000 },
  async () => {
    const place = folder();
    const npm = (...words: string[]) => execute('npm', words, { cwd: place, timeout: 300_000 });
    await execute('npm', ['pack', '--ignore-scripts', '--pack-destination', place], { cwd: root });
    const tarball = readdirSync(place).find((name) => name.endsWith('.tgz'));
    writeFileSync(join(place, 'package.json'), '{ "private": true, "type": "module" }\n');
    await npm('install', '--ignore-scripts', '--no-audit', '--no-fund', `./${tarball}`);

    const installed = join(place, 'node_modules', 'septum');
    expect(existsSync(join(installed, 'dist/study/study.schema.json'))).toBe(true);
    expect(existsSync(join(installed, 'src'))).toBe(false);
    copyFileSync(join(installed, 'examples/api.mjs'), join(place, 'api.mjs'));
    const { stdout } = await execute(process.execPath, ['api.mjs'], { cwd: place, timeout: 120_000 });
    expect(stdout).toMatch(/^test R2 0\.9\d+, results in /m);
    expect(stdout).toMatch(/^synthetic-cholesterol-0: \d+\.\d mg\/dL$/m);
    expect(stdout).toMatch(/^gradient 2 4 6$/m);

    const help = await execute(join(place, 'node_modules/.bin/septum'), ['--help']);
    expect(help.stdout).toContain('Usage: septum');
  },
);
