// Replays a run in one process with the uncut network: the same batches, augmentations and masks, and no code of site, server or protocol's
// sessions. Prints the losses of the first steps beside the run's, and the figures of the test part.
//
//   npm run replay -- RUN_DIR [--data PATH] [--steps N] [--json]

import { parseArgs } from 'node:util';
import { openEngine } from '../dist/engine/node/index.js';
import { isBetter, metricsOf } from '../dist/metrics/index.js';
import { classWeights, meanAndSd, outputMeaning } from '../dist/protocol/index.js';
import { poolBatches, unionBatches } from './replay/batches.mjs';
import { openSites, readRun } from './replay/run-folder.mjs';
import { openUncut } from './replay/uncut.mjs';

const shownSteps = 50;

const { values, positionals } = parseArgs({
  options: { data: { type: 'string' }, steps: { type: 'string' }, json: { type: 'boolean' } },
  allowPositionals: true,
});
const [folder] = positionals;
if (folder === undefined) {
  process.stderr.write('usage: npm run replay -- RUN_DIR [--data PATH] [--steps N] [--json]\n');
  process.exit(2);
}

const run = await readRun(folder);
const { plan } = run;
const detached = plan.choices.when === 'detached';
refuseWhatDiffers();
const data = await openSites(run, values.data ?? run.data);
const pool = poolFacts();
const meaning = outputMeaning(plan, pool.target);
const engine = await openEngine();
try {
  const frozen = detached
    ? run.compiled.parts.segment.layout.groups.flatMap((group) => group.members.map(({ name }) => name))
    : [];
  const network = await openUncut(run, engine, { ...pool, frozen });
  const batches = detached ? await poolBatches(plan, data) : unionBatches(plan, data);
  report(await train(network, batches));
} finally {
  await engine.close();
  for (const site of data) await site.close();
}

/** Runs all epochs, or `--steps` steps. */
async function train(network, { stepsPerEpoch, steps }) {
  const stepsMost = values.steps === undefined ? Number.POSITIVE_INFINITY : Number(values.steps);
  const totalSteps = stepsPerEpoch * plan.training.epochs;
  const losses = [];
  let best;
  for (let epoch = 0; epoch < plan.training.epochs && losses.length < stepsMost; epoch++) {
    for await (const batch of steps(epoch)) {
      if (losses.length >= stepsMost) break;
      losses.push(await network.learn(batch, losses.length, totalSteps));
    }
    if (losses.length >= stepsMost) break;
    const val = await figures(network, 'val');
    if (plan.training.select === 'last' || !best || (val && isBetter(val, best.val)))
      best = { epoch, val, state: await network.state() };
    if (!values.json && process.stderr.isTTY) process.stderr.write(`\repoch ${epoch + 1}/${plan.training.epochs} `);
  }
  if (!best || losses.length < totalSteps) return { losses };
  await network.setState(best.state);
  return { losses, bestEpoch: best.epoch, test: await figures(network, 'test') };
}

/** The figures of all sites' records of a part. */
async function figures(network, part) {
  const outputs = [];
  const labels = [];
  const groups = [];
  let firstGroup = 0;
  for (const site of data) {
    const records = site.parts[part];
    outputs.push(...(await network.outputs(records)));
    labels.push(...records.labels);
    for (const group of records.groups) groups.push(firstGroup + group);
    firstGroup += records.groups.reduce((most, group) => Math.max(most, group + 1), 0);
  }
  if (labels.length === 0) return null;
  return metricsOf(meaning, { outputs, labels, groups, classWeights: pool.classWeights });
}

/** What sites know of each other before training; sets every site's standardisation. */
function poolFacts() {
  const all = data.map((site) => site.pooling.sums());
  const moments = (of) =>
    (of(all[0]).counts ?? []).map((_, column) => {
      const total = (kind) => all.reduce((sum, own) => sum + of(own)[kind][column], 0);
      return meanAndSd(total('counts'), total('sums'), total('squares'));
    });
  const inputs = moments((own) => own.inputs);
  for (const site of data)
    site.pooling.setStandardisation({ mean: inputs.map(({ mean }) => mean), sd: inputs.map(({ sd }) => sd) });
  const [target = { mean: 0, sd: 1 }] = moments((own) => own.target);
  const counts = data.map((site) => site.pooling.classCounts().train);
  const trainCounts = counts[0].map((_, index) => counts.reduce((sum, own) => sum + own[index], 0));
  return { target, classWeights: classWeights(plan.training.classWeights, trainCounts) };
}

function refuseWhatDiffers() {
  const { when, order, segments } = plan.choices;
  const replayed =
    (when === 'live' && order === 'union' && segments === 'mirrored') || (detached && segments === 'mirrored');
  const why = !replayed
    ? `when: ${when}, order: ${order}, segments: ${segments} is not the training of one uncut network`
    : plan.training.clipNorm !== undefined
      ? 'clipping is by part, which an uncut network has not'
      : undefined;
  if (why === undefined) return;
  process.stderr.write(
    `replay: ${folder}: ${why}; live with union and mirrored, and detached with mirrored, are replayed\n`,
  );
  process.exit(2);
}

function report({ losses, test, bestEpoch }) {
  const steps = losses.slice(0, shownSteps).map((loss, step) => {
    const own = run.losses[step] ?? null;
    return { step, run: own, replay: loss, difference: own === null ? null : Math.abs(loss - own) / Math.abs(own) };
  });
  const known = steps.filter(({ difference }) => difference !== null);
  const largest = known.length > 0 ? Math.max(...known.map(({ difference }) => difference)) : null;
  const theirs = run.metrics.splits.test?.overall ?? null;
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ steps, largestDifference: largest, bestEpoch, test: { run: theirs, replay: test ?? null } })}\n`,
    );
    return;
  }
  const lines = ['step  run           replay        relative difference'];
  for (const { step, run: own, replay, difference } of steps) {
    const cell = (value, digits) => (value === null ? '-' : value.toPrecision(digits)).padEnd(14);
    lines.push(
      `${String(step).padEnd(6)}${cell(own, 8)}${cell(replay, 8)}${difference === null ? '-' : difference.toExponential(1)}`,
    );
  }
  lines.push(
    largest === null
      ? 'the run has no losses of single steps: its labels are at the sites'
      : `largest relative difference of the first ${known.length} steps: ${largest.toExponential(1)}`,
  );
  if (test && theirs) {
    lines.push('', `test part       run           replay (epoch ${bestEpoch + 1} selected)`);
    for (const name of ['n', 'auc', 'accuracy', 'loss', 'rmse', 'mae', 'r2'])
      if (name in test)
        lines.push(
          `${name.padEnd(16)}${String(theirs[name]).slice(0, 12).padEnd(14)}${String(test[name]).slice(0, 12)}`,
        );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}
