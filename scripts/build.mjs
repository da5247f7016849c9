// Builds dist/ with tsc. Runs as npm's `prepare`, so a clone is ready after `npm install`.
// A packed tarball holds dist/ and not this project's TypeScript configuration: then there is nothing to do.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

if (existsSync('tsconfig.build.json')) {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const done = spawnSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-p', 'tsconfig.build.json'], {
    stdio: 'inherit',
  });
  if (done.status !== 0) process.exit(done.status ?? 1);
  if (existsSync('src/study/study.schema.json')) cpSync('src/study/study.schema.json', 'dist/study/study.schema.json');
  if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
}
