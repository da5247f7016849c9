// What TLS, the ledger and commits cost together: `septum bench` with and without them, in alternating pairs of one run. Prints a table and
// the median of the ratios. On a loaded machine a single pair says little.
//
//   npm run bench:overhead -- [--network ct-cnn] [--pairs 3] [--steps 150] [--with="--tls --ledger --commits"]

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './parts/median.mjs';

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'ct-cnn' },
    pairs: { type: 'string', default: '3' },
    steps: { type: 'string', default: '150' },
    with: { type: 'string', default: '--tls --ledger --commits' },
  },
});
const pairs = Number(values.pairs);
if (!Number.isInteger(pairs) || pairs < 1) throw new Error(`--pairs ${values.pairs}: expected 1 or more`);
const command = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const flags = values.with.split(' ').filter(Boolean);

const ratios = [];
process.stdout.write(`${values.network}, ${values.steps} steps; samples/s\n pair    none    with   ratio  commits\n`);
for (let pair = 1; pair <= pairs; pair++) {
  // Each comes first in turn, so that a machine that gets slower favours neither.
  const order = pair % 2 === 1 ? [[], flags] : [flags, []];
  const speeds = order.map(measure);
  const [none, all] = pair % 2 === 1 ? speeds : speeds.toReversed();
  const ratio = all.samplesPerSecond / none.samplesPerSecond;
  ratios.push(ratio);
  const columns = [pair, none.samplesPerSecond.toFixed(0), all.samplesPerSecond.toFixed(0), ratio.toFixed(3)];
  process.stdout.write(
    `${columns.map((text, at) => String(text).padStart(at === 0 ? 5 : 8)).join('')}  ${all.commits}\n`,
  );
}
process.stdout.write(`with ${flags.join(' ')}: median ratio ${median(ratios).toFixed(3)}\n`);

function measure(extra) {
  const words = ['bench', '--network', values.network, '--steps', values.steps, '--split-only', '--json', ...extra];
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...words], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`septum ${words.join(' ')} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}
