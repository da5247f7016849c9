// Time and memory of a step against the number of sites and against the batch. Prints two tables in Markdown; `--write FOLDER` leaves
// SCALING.md and scaling.svg there.
//
//   node bench/scaling.mjs [--network ct-cnn] [--sites 1,3,10,30] [--batches 8,16,32,64,128] [--rounds 3] [--write docs]

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plot } from './parts/plot.mjs';

const septum = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'ct-cnn' },
    sites: { type: 'string', default: '1,3,10,30' },
    batches: { type: 'string', default: '8,16,32,64,128' },
    rounds: { type: 'string', default: '3' },
    write: { type: 'string' },
  },
});
const usualSites = 3;
const usualBatch = 32;
/** Records that are trained on in a measurement, and before it. */
const recordsTimed = 9600;
const recordsBefore = 1920;

const bySites = numbers(values.sites).map((sites) => ({ sites, batch: usualBatch }));
const byBatch = numbers(values.batches).map((batch) => ({ sites: usualSites, batch }));
const measured = new Map();
for (let round = 0; round < Number(values.rounds); round++)
  for (const shape of [...bySites, ...byBatch]) measure(shape);

const heads = ['sites', 'records a site', 'ms a step', 'ms a record', 'server, MB', 'a site, MB'];
const text = `# Time and memory of a step

\`${values.network}\`, private segments, every process on one machine: ${availableParallelism()} threads of ${cpus()[0]?.model.trim() ?? 'an unknown processor'}. Medians of ${values.rounds} rounds of
\`node bench/scaling.mjs --write docs\`; memory is the largest resident set, of a site the largest of any.

## Against the number of sites

${table(bySites)}

## Against the batch

${table(byBatch)}

![Time of a step and memory against sites and batch](scaling.svg)
`;
process.stdout.write(text);
if (values.write !== undefined) {
  writeFileSync(join(values.write, 'SCALING.md'), text);
  const lines = (shapes, axis, of) => shapes.map((shape) => [shape[axis], of(median(shape))]);
  const panel = (title, label, shapes, axis) => [
    {
      title: `Time against ${title}`,
      x: label,
      y: 'ms a step',
      lines: [{ name: 'step', points: lines(shapes, axis, (m) => m.stepMs) }],
    },
    {
      title: `Memory against ${title}`,
      x: label,
      y: 'MB',
      lines: [
        { name: 'server', points: lines(shapes, axis, (m) => m.serverPeakBytes / 1e6) },
        { name: 'a site', points: lines(shapes, axis, (m) => m.sitePeakBytes / 1e6) },
      ],
    },
  ];
  writeFileSync(
    join(values.write, 'scaling.svg'),
    plot([
      ...panel('sites', 'sites, 32 records each', bySites, 'sites'),
      ...panel('batch', 'records a site, 3 sites', byBatch, 'batch'),
    ]),
  );
}

function measure({ sites, batch }) {
  const steps = Math.max(10, Math.round(recordsTimed / (sites * batch)));
  const warmUp = Math.max(3, Math.round(recordsBefore / (sites * batch)));
  const words = [
    '--network',
    values.network,
    '--sites',
    sites,
    '--batch',
    batch,
    '--steps',
    steps,
    '--warm-up',
    warmUp,
  ];
  const output = execFileSync(process.execPath, [septum, 'bench', ...words, '--split-only', '--json'].map(String), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { stepMs, serverPeakBytes, sitePeakBytes } = JSON.parse(output);
  const key = `${sites}/${batch}`;
  measured.set(key, [...(measured.get(key) ?? []), { stepMs, serverPeakBytes, sitePeakBytes }]);
  process.stderr.write(`${sites} sites of ${batch} records: ${stepMs.toFixed(1)} ms\n`);
}

function median({ sites, batch }) {
  const rounds = measured.get(`${sites}/${batch}`);
  const of = (name) => rounds.map((round) => round[name]).toSorted((a, b) => a - b)[Math.floor(rounds.length / 2)];
  return { stepMs: of('stepMs'), serverPeakBytes: of('serverPeakBytes'), sitePeakBytes: of('sitePeakBytes') };
}

function table(shapes) {
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const lines = shapes.map((shape) => {
    const { stepMs, serverPeakBytes, sitePeakBytes } = median(shape);
    const perRecord = stepMs / (shape.sites * shape.batch);
    return row([
      shape.sites,
      shape.batch,
      stepMs.toFixed(1),
      perRecord.toFixed(3),
      Math.round(serverPeakBytes / 1e6),
      Math.round(sitePeakBytes / 1e6),
    ]);
  });
  return [row(heads), row(heads.map(() => '---')), ...lines].join('\n');
}

function numbers(list) {
  return list.split(',').map(Number);
}
