// Kill runs: studies of real processes that are killed with SIGKILL and started again (test/faults/kill-runs.test.ts).
//
//   npm run faults -- [--seed N] [--runs N]

import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, runs: { type: 'string', default: '10' } },
});
for (const [name, value] of Object.entries(values)) {
  if (/^[1-9]\d{0,5}$/.test(value)) continue;
  process.stderr.write(`--${name} ${value}: expected a whole number from 1 on\n`);
  process.exit(2);
}
const { status } = spawnSync('npx', ['vitest', 'run', 'test/faults/kill-runs.test.ts'], {
  stdio: 'inherit',
  env: { ...process.env, SEPTUM_SEED: values.seed, SEPTUM_KILL_RUNS: values.runs },
});
process.exitCode = status ?? 1;
