// What the queue's disciplines and windows do to accuracy and to the small sites: whole studies of three sites at 7:2:1 in this process, over
// several seeds. Prints tables in Markdown; `--write FOLDER` leaves them in that folder's BUFFERED.md, between its comments
// `<!-- measured -->` and `<!-- /measured -->`.
//
//   node bench/disciplines.mjs [--seeds 5] [--epochs 60] [--lipids direct-ldl.csv] [--write docs]
//
// Without `--lipids` only synthetic records are used. Before each step of the queue the sites get the time to do all that their windows
// let them, as where the trunk is what takes the time: else there is nothing for a discipline to choose from. A last table has the time of
// a step against the window where messages are under way for 25 ms, as if the sites were far away.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../dist/base/node/index.js';
import { listRecords, openSiteData } from '../dist/data/node/index.js';
import { openEngine } from '../dist/engine/node/index.js';
import { StudyServer } from '../dist/server/index.js';
import { SiteAgent } from '../dist/site/index.js';
import { dealStudy, parseStudy, planOf } from '../dist/study/index.js';
import { createMemoryListener } from '../dist/transport/index.js';
import { delayed } from './parts/delayed.mjs';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '5' },
    epochs: { type: 'string', default: '60' },
    lipids: { type: 'string' },
    write: { type: 'string' },
  },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, index) => index + 1);
const ratio = [7, 2, 1];

const queue = (windowSteps, discipline) => ({
  name: `queue, ${discipline}, W = ${windowSteps}`,
  method: 'queue',
  training: `windowSteps: ${windowSteps}, discipline: ${discipline}`,
});
const variants = [
  { name: 'septum (live, union, mirrored)', method: 'septum' },
  { name: 'parallel (live, union, private)', method: 'parallel' },
  ...['fair', 'fifo', 'least-served'].map((discipline) => queue(4, discipline)),
  ...[1, 2, 8].map((windowSteps) => queue(windowSteps, 'fair')),
];

const sources = [
  {
    name: 'Synthetic lipid panels',
    about: 'Computed records of no patient: seven inputs, 2000 records.',
    data: '{ kind: synthetic, case: cholesterol, records: 2000, seed: SEED }',
    path: '',
  },
];
if (values.lipids !== undefined)
  sources.push({
    name: 'Measured lipid panels',
    about:
      'LDL cholesterol measured directly, four inputs, the table of `examples/cholesterol.yaml`. Its split is fixed: the seeds differ in the start and the order of the records.',
    data: `
  kind: table
  file: direct-ldl.csv
  columns: { id: case_id, split: split }
  inputs:
    - { column: age_years, unit: years, min: 0, max: 120 }
    - { column: tc_mgdl, unit: mg/dL, min: 0 }
    - { column: hdl_mgdl, unit: mg/dL, min: 0 }
    - { column: tg_mgdl, unit: mg/dL, min: 0 }
  target: { column: ldl_direct_mgdl, unit: mg/dL, min: 0 }`,
    path: values.lipids,
  });

const sections = [];
for (const source of sources) {
  sections.push(await measure(source));
  process.stdout.write(`${sections.at(-1)}\n\n`);
}
sections.push(await measureDelays());
process.stdout.write(`${sections.at(-1)}\n`);
if (values.write !== undefined) {
  const file = join(values.write, 'BUFFERED.md');
  const page = readFileSync(file, 'utf8');
  const text = sections.join('\n\n');
  const marks = /(<!-- measured -->)[^]*(<!-- \/measured -->)/;
  writeFileSync(
    file,
    page.replace(marks, (_, start, end) => `${start}\n\n${text}\n\n${end}`),
  );
}

/** One table: every variant over all seeds on one source of records. */
async function measure({ name, about, data, path }) {
  const rows = [];
  let counts;
  for (const variant of variants) {
    const runs = [];
    for (const seed of seeds) {
      const outcome = await run(studyText(variant, { data, seed, epochs: values.epochs }), {
        path,
        pause: sitesCatchUp,
      });
      counts ??= outcome.counts;
      runs.push(outcome);
      process.stderr.write(`${name}, ${variant.name}, seed ${seed}: RMSE ${outcome.rmse[0].toFixed(2)}\n`);
    }
    const rmse = [0, 1, 2, 3].map((place) => spread(runs.map((one) => one.rmse[place])));
    const ofQueue = variant.method === 'queue';
    const halves = [0, 1, 2].map((site) => percent(mean(runs.map(({ firstHalf }) => firstHalf[site]))));
    const waited = mean(runs.map((one) => one.waited)).toFixed(1);
    rows.push([variant.name, ...rmse, ...(ofQueue ? [halves.join(' : '), waited] : ['', ''])]);
  }
  const heads = ['', 'all', 'site 1', 'site 2', 'site 3', 'first half of an epoch', 'steps waited'];
  return [
    `### ${name}`,
    `${about} Training records at the sites: ${counts.join(', ')}. RMSE of the test part in mg/dL, mean ± standard deviation over ${seeds.length} seeds, the epoch selected by validation. First half of an epoch: the sites' shares of its server steps, in per cent. Steps waited: server steps that a batch waited in the queue, on average.`,
    [row(heads), row(heads.map(() => '---')), ...rows.map(row)].join('\n'),
  ].join('\n\n');
}

/** Time of a step over long ways, against the window. */
async function measureDelays() {
  const wayMs = 25;
  const orders = [
    ['union, private', ', order: union'],
    ['union, mirrored', ', order: union, segments: mirrored'],
    ['arrival, private', ''],
  ];
  const rows = [];
  for (const [name, choices] of orders) {
    const cells = [];
    for (const windowSteps of [1, 2, 4, 8]) {
      const variant = { method: 'queue', choices, training: `windowSteps: ${windowSteps}` };
      const text = studyText(variant, { data: sources[0].data, seed: 1, epochs: 2 });
      const { stepMs } = await run(text, { path: '', wayMs });
      process.stderr.write(`${name}, W = ${windowSteps}: ${stepMs.toFixed(1)} ms\n`);
      cells.push(stepMs);
    }
    rows.push([name, ...cells.map((stepMs) => (cells[0] / stepMs).toFixed(1))]);
  }
  const heads = ['', 'W = 1', 'W = 2', 'W = 4', 'W = 8'];
  return [
    '### Over long ways',
    `The synthetic records again, each message ${wayMs} ms under way: server steps in the time of one with W = 1, which is \`live\`. An epoch has 44 or 45 steps, and the window is empty at its end.`,
    [row(heads), row(heads.map(() => '---')), ...rows.map(row)].join('\n'),
  ].join('\n\n');
}

function studyText({ method, choices = '', training }, { data, seed, epochs }) {
  return `study: disciplines
seed: ${seed}
method: ${method}
choices: { labels: server${choices} }
sites: { ratio: [${ratio.join(', ')}] }
network: { name: lipid-mlp }
training:
  { batch: 32, epochs: ${epochs}, learningRate: 0.003, optimizer: { kind: adam }, schedule: { kind: cosine }${training === undefined ? '' : `, ${training}`} }
data: ${data.replace('SEED', seed)}
`;
}

/** A whole study in this process. */
async function run(text, { path, pause = async () => undefined, wayMs = 0 }) {
  const study = parseStudy(text, 'disciplines.yaml');
  const { plan, study: compiled } = planOf(study);
  const listing = await listRecords(study.data, path, { seed: plan.seed });
  const { manifests } = dealStudy(listing, { names: plan.sites, ratio });
  const data = await Promise.all(manifests.map((manifest) => openSiteData(study.data, path, manifest)));
  const engines = await Promise.all(
    ['server', ...plan.sites].map(() => openEngine({ placement: 'inline', threads: 1 })),
  );
  const listener = createMemoryListener();
  const { signal } = new AbortController();
  const shared = { plan, study: compiled, clock: systemClock, signal, timeoutMs: 60_000 };
  const steps = [];
  const onEvent = (event) => {
    if (event.kind === 'step') steps.push(event.report);
  };
  try {
    const server = new StudyServer({ ...shared, engine: engines[0], listener, onEvent, logOrder: pause });
    const sites = plan.sites.map((_, index) => {
      const connect = async () => {
        const connection = await listener.connect();
        return wayMs > 0 ? delayed(connection, wayMs) : connection;
      };
      return new SiteAgent({ ...shared, index, data: data[index], engine: engines[index + 1], connect });
    });
    const [{ test, trainSeconds }] = await Promise.all([server.run(), ...sites.map((site) => site.run())]);
    return {
      counts: data.map(({ parts }) => parts.train.count),
      rmse: [test.overall, ...plan.sites.map((site) => test.sites[site])].map((metrics) => metrics.rmse),
      stepMs: (1000 * trainSeconds) / steps.length,
      firstHalf: firstHalf(steps, plan.training.epochs),
      waited: mean(steps.map(({ staleness }) => staleness?.waitedSteps ?? 0)),
    };
  } finally {
    for (const engine of engines) await engine.close();
    for (const site of data) await site.close();
  }
}

/** Resolves when everything else in this process has had its turn several times. */
async function sitesCatchUp() {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Each site's share of the server steps in the first half of an epoch. */
function firstHalf(steps, epochs) {
  const perEpoch = steps.length / epochs;
  const early = steps.filter((_, index) => index % perEpoch < perEpoch / 2);
  return ratio.map((_, site) => early.filter(({ siteLosses }) => siteLosses[0].site === site).length / early.length);
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function spread(numbers) {
  const middle = mean(numbers);
  const deviation = Math.sqrt(
    mean(numbers.map((number) => (number - middle) ** 2)) * (numbers.length / (numbers.length - 1)),
  );
  return `${middle.toFixed(2)} ± ${deviation.toFixed(2)}`;
}

function percent(share) {
  return Math.round(100 * share);
}

function row(cells) {
  return `| ${cells.join(' | ')} |`;
}
