// Every network of the case studies at the bench's shape, beside the same split in PyTorch where that is here: in alternating pairs, so that
// both meet the machine in the same mood. Prints a table in Markdown; `--write FILE` puts it between that file's two comments
// `<!-- bench -->` and `<!-- /bench -->`.
//
//   npm run bench [-- --networks lipid-mlp,ct-cnn,vgg19-64] [--pairs 6] [--beside 2] [--write README.md] [--python python3] [--peer PATH]
//
// The first `--beside` pairs also measure mirrored segments, Adam, and the uncut networks. The peer is a script that takes --model, --sites,
// --batch, --steps, --warmup and --mono and prints one line of JSON with samples_per_s.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gemmSpeed, stepFlops } from './parts/work.mjs';
import { median } from './parts/median.mjs';

const septum = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const shared = process.env.SEPTUM_SHARED ?? fileURLToPath(new URL('../../shared', import.meta.url));
const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'lipid-mlp,ct-cnn,vgg19-64' },
    pairs: { type: 'string', default: '6' },
    beside: { type: 'string', default: '2' },
    write: { type: 'string' },
    python: { type: 'string', default: existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3' },
    peer: { type: 'string', default: join(shared, 'bench/peer_torch_split.py') },
  },
});
const sites = 3;
const batch = 32;
/** Steps that are timed and steps before them; JavaScript that runs for microseconds takes thousands to be compiled. */
const lengths = {
  'lipid-mlp': { steps: 5000, warmUp: 2500 },
  'ct-cnn': { steps: 80, warmUp: 20 },
  'vgg19-64': { steps: 3, warmUp: 1 },
};

const peer = peerHere();
const lines = [];
say(`${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} threads; ${peer.about}`);
const speed = await gemmSpeed();
const heads = [
  'network',
  'Septum, split',
  'mirrored',
  'Adam',
  'PyTorch, split',
  'ratio',
  'uncut',
  'PyTorch, uncut',
  'ratio',
  'limit',
];
lines.push(row(heads), row(heads.map(() => '---')));
for (const network of values.networks.split(',')) lines.push(row(await measure(network)));
const text = [
  `Records a second, three sites with 32 records each in a step: the median of ${values.pairs} pairs in turn (from the lowest to the highest). ${peer.about}. Limit: the share of ${(speed / 1e9).toFixed(0)} GFLOP/s, which a product of two 1024 x 1024 matrices reached in the same run; Winograd's transform takes fewer multiplications than it counts.`,
  '',
  ...lines,
].join('\n');
process.stdout.write(`${text}\n`);
if (values.write !== undefined) {
  const old = readFileSync(values.write, 'utf8');
  const pattern = /(<!-- bench -->\n)[^]*?(\n<!-- \/bench -->)/;
  if (!pattern.test(old)) throw new Error(`${values.write} has no <!-- bench --> … <!-- /bench -->`);
  writeFileSync(
    values.write,
    old.replace(pattern, (_, before, after) => `${before}\n${text}\n${after}`),
  );
}

async function measure(network) {
  const { steps, warmUp } = lengths[network] ?? { steps: 20, warmUp: 3 };
  const results = { own: [], mirrored: [], adam: [], peer: [], uncut: [], mono: [] };
  for (let pair = 0; pair < Number(values.pairs); pair++) {
    results.own.push(ours(network, steps, warmUp, ['--split-only']).samplesPerSecond);
    if (peer.runs) results.peer.push(theirs(network, steps, warmUp, []));
    if (pair < Number(values.beside)) {
      results.mirrored.push(ours(network, steps, warmUp, ['--split-only', '--segments', 'mirrored']).samplesPerSecond);
      results.adam.push(ours(network, steps, warmUp, ['--split-only', '--optimizer', 'adam']).samplesPerSecond);
      results.uncut.push(ours(network, steps, warmUp, ['--uncut-only']).uncut);
      if (peer.runs) results.mono.push(theirs(network, steps, warmUp, ['--mono']));
    }
    say(
      `${network} pair ${pair + 1}: ${JSON.stringify(Object.fromEntries(Object.entries(results).map(([name, all]) => [name, Math.round(all.at(-1) ?? 0)])))}`,
    );
  }
  const ratio = (own, other) => ranged(own.map((value, at) => value / other[at]).filter(Number.isFinite), 2);
  const share = (median(results.own) * stepFlops(network, sites * batch)) / (sites * batch) / speed;
  return [
    `\`${network}\``,
    ranged(results.own),
    middle(results.mirrored),
    middle(results.adam),
    ranged(results.peer),
    ratio(results.own, results.peer),
    middle(results.uncut),
    middle(results.mono),
    ratio(results.uncut, results.mono),
    `${number(100 * share, share < 0.01 ? 2 : 0)} %`,
  ];
}

function ours(network, steps, warmUp, words) {
  const shape = ['--network', network, '--sites', sites, '--batch', batch, '--steps', steps, '--warm-up', warmUp];
  return json(process.execPath, [septum, 'bench', ...shape, ...words, '--json'].map(String));
}

function theirs(network, steps, warmUp, words) {
  const shape = ['--model', network, '--sites', sites, '--batch', batch, '--steps', steps, '--warmup', warmUp];
  return json(values.python, [values.peer, ...shape, ...words].map(String)).samples_per_s;
}

function json(program, words) {
  return JSON.parse(
    execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n')
      .at(-1),
  );
}

/** Whether PyTorch and the peer are on this machine, in words. */
function peerHere() {
  if (!existsSync(values.peer)) return { runs: false, about: `no PyTorch beside it: ${values.peer} is not there` };
  try {
    const version = execFileSync(values.python, ['-c', 'import torch; print(torch.__version__)'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const core = process.env.OPENBLAS_CORETYPE;
    return {
      runs: true,
      about: `PyTorch ${version.trim()}${core === undefined ? '' : ` with OPENBLAS_CORETYPE=${core}`}`,
    };
  } catch {
    return {
      runs: false,
      about: `no PyTorch beside it: ${values.python} has no torch (Debian: python3-torch, libopenblas0-openmp)`,
    };
  }
}

/** The median, without a range. */
function middle(all) {
  return all.length === 0 ? '' : number(median(all), 0);
}

/** `median (least to most)` */
function ranged(all, digits = 0) {
  if (all.length < 2) return all.length === 0 ? '' : number(all[0], digits);
  return `${number(median(all), digits)} (${number(Math.min(...all), digits)} to ${number(Math.max(...all), digits)})`;
}

function number(value, digits) {
  return digits > 0 ? value.toFixed(digits) : String(Math.round(value)).replaceAll(/(?<=\d)(?=(?:\d{3})+$)/g, ' ');
}

function row(cells) {
  return `| ${cells.join(' | ')} |`;
}

function say(line) {
  process.stderr.write(`${line}\n`);
}
