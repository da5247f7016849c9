// Septum beside a peer in the same run: alternating pairs, so that both meet the machine in the same mood. The peer is a script that
// takes --model, --sites, --batch, --steps and --warmup and prints one line of JSON with samples_per_s.
//
//   node bench/peer.mjs --peer PATH/peer_torch_split.py [--network ct-cnn] [--sites 3] [--batch 32] [--steps 60] [--pairs 3] [--python python3]

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const septum = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    network: { type: 'string', default: 'ct-cnn' },
    sites: { type: 'string', default: '3' },
    batch: { type: 'string', default: '32' },
    steps: { type: 'string', default: '60' },
    'warm-up': { type: 'string', default: '5' },
    pairs: { type: 'string', default: '3' },
    python: { type: 'string', default: 'python3' },
  },
});
if (values.peer === undefined) {
  process.stderr.write('usage: node bench/peer.mjs --peer PATH [--network NAME] …\n');
  process.exit(2);
}

const json = (program, words) =>
  JSON.parse(execFileSync(program, words, { encoding: 'utf8' }).trim().split('\n').at(-1));
const shape = ['--sites', values.sites, '--batch', values.batch, '--steps', values.steps];
const ours = () =>
  json(process.execPath, [
    septum,
    'bench',
    '--network',
    values.network,
    ...shape,
    '--warm-up',
    values['warm-up'],
    '--split-only',
    '--json',
  ]);
const theirs = () =>
  json(values.python, [values.peer, '--model', values.network, ...shape, '--warmup', values['warm-up']]);

const ratios = [];
for (let pair = 0; pair < Number(values.pairs); pair++) {
  const own = ours().samplesPerSecond;
  const peer = theirs().samples_per_s;
  ratios.push(own / peer);
  console.log(
    `pair ${pair + 1}: Septum ${own.toFixed(0)}, peer ${peer.toFixed(0)} samples/s, ratio ${(own / peer).toFixed(2)}`,
  );
}
const sorted = ratios.toSorted((a, b) => a - b);
const middle = Math.floor(sorted.length / 2);
const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
console.log(`${values.network}: median ratio of ${sorted.length} pairs ${median.toFixed(2)}`);
