// What passes between a site and the server is what its study says, to the byte: so many records' activations, labels, groups and
// gradients, so many times the weights; and what a message costs beyond its tensors is bounded (DESIGN.md, "Transport and scale").

import { describe, expect, test } from 'vitest';
import { allowedChoices, describeChoices, type PartLayout, type Plan } from '../../src/protocol/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { mlp, planStudy, smallCnn, type TestStudy } from '../harness/study.ts';
import { counting, type Passed } from './counting-connection.ts';
import { type Planned, serve, takePart } from './party.ts';

const epochs = 2;
const augmentPasses = 2;
const tables: TestStudy = { network: mlp, counts: [70, 20, 10], training: { batch: 15, epochs } };
const images: TestStudy = { network: smallCnn, counts: [50, 30, 20], training: { batch: 60, epochs } };

describe.each(allowedChoices().map((choices) => [describeChoices(choices), choices] as const))('%s', (_, choices) => {
  test.each([
    ['a table', tables],
    ['images', images],
  ])('sends and receives what follows from the shapes of %s, and little more', async (_what, study) => {
    const training = { ...study.training, ...(choices.when === 'detached' ? { augmentPasses } : {}) };
    const planned = planStudy({ ...study, choices, training });
    const bySite = await messagesOf(planned);
    for (const [site, passed] of bySite.entries()) {
      for (const message of passed) expectLittleBeside(message);
      expect(tensorBytes(passed)).toEqual(expected(planned, study.counts!, site));
      expectWhatThePlanSays(planned.plan, study.counts!, site, passed);
    }
    // The large messages that the rule of one part in a hundred is about occur.
    if (study === images)
      expect(Math.max(...bySite.flat().map((message) => message.tensorBytes))).toBeGreaterThanOrEqual(64 << 10);
  });
});

/** Runs the study and gives every message of every site. */
async function messagesOf(planned: Planned): Promise<Passed[][]> {
  const listener = createMemoryListener();
  const bySite: Passed[][] = planned.plan.sites.map(() => []);
  const server = serve(planned, listener);
  const sites = bySite.map((passed, site) =>
    takePart(planned, site, async () => counting(await listener.connect(), passed)),
  );
  await Promise.all([server, ...sites]);
  return bySite;
}

function expectLittleBeside({ kind, direction, frameBytes, tensorBytes }: Passed): void {
  const most = tensorBytes >= 64 << 10 ? tensorBytes / 100 : 256;
  expect(frameBytes - tensorBytes, `${kind} ${direction} of ${tensorBytes} bytes`).toBeLessThanOrEqual(most);
}

/** Bytes of tensors by direction and kind, for the kinds that carry data, labels or weights. */
function tensorBytes(passed: readonly Passed[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { direction, kind, tensorBytes: bytes } of passed) {
    if (bytes === 0 || ['census', 'pooled', 'report'].includes(kind)) continue;
    sums[`${direction} ${kind}`] = (sums[`${direction} ${kind}`] ?? 0) + bytes;
  }
  return sums;
}

/** The same from SEMANTICS.md: from the records, the shapes and the order of training, without the script. */
function expected({ plan }: Planned, counts: readonly number[], site: number): Record<string, number> {
  const { choices, network, layouts } = plan;
  const [train, val, test] = recordsOf(counts, site);
  const cut = 4 * product(network.cutDims);
  const output = 4 * product(network.trunkOutputDims ?? []);
  const atServer = choices.labels === 'server';
  const [label, group] = atServer ? [4, 4] : [0, 0];
  const parameters = parameterBytes(layouts.segment) + (layouts.head ? parameterBytes(layouts.head) : 0);
  const state = parameters * 2; // with the momentum
  const sums: Record<string, number> = {};
  const add = (what: string, bytes: number): void => {
    if (bytes > 0) sums[what] = (sums[what] ?? 0) + bytes;
  };
  const { when, order, segments } = choices;
  if (when === 'detached') {
    add('up activations', (train * (1 + augmentPasses) + val + test) * (cut + label) + (val + test) * group);
  } else {
    const evaluated = epochs * val + test;
    add('up activations', (epochs * train + evaluated) * (cut + label) + evaluated * group);
    add('down cut-gradient', epochs * train * cut);
    if (!atServer) add('down trunk-output', (epochs * train + evaluated) * output);
    if (!atServer) add('up output-gradient', epochs * train * output);
    if (segments === 'mirrored') {
      const [steps, own] = unionSteps(plan, counts, site);
      // Gradients are float64, parameters float32.
      add('up parameter-gradient', epochs * own * 2 * parameters);
      add('down gradient-sum', epochs * steps * 2 * parameters);
    }
    if (segments === 'average') for (const direction of ['up', 'down']) add(`${direction} weights`, epochs * state);
    if (segments === 'relay') {
      expect(order).toBe('turns');
      add('up weights', epochs * state);
      // At the start of the turn from the site before, and at the end of the epoch the last one's to all.
      add('down weights', epochs * (site > 0 ? 2 : 1) * state);
    }
  }
  add('down weights', parameterBytes(layouts.trunk));
  if (segments === 'private') add('up weights', parameters);
  return sums;
}

/** What the plan announces by record and by message holds for what passed. */
function expectWhatThePlanSays(plan: Plan, counts: readonly number[], site: number, passed: readonly Passed[]): void {
  const [train, val, test] = recordsOf(counts, site);
  const evaluated = plan.choices.when === 'detached' ? val + test : epochs * val + test;
  const trained = plan.choices.when === 'detached' ? (1 + augmentPasses) * train : epochs * train;
  for (const { kind, direction, bytes, per } of plan.leaves) {
    const messages = passed.filter((message) => message.kind === kind && message.direction === direction);
    const sum = messages.reduce((total, message) => total + message.tensorBytes, 0);
    const withEvaluation = kind === 'activations' || kind === 'trunk-output';
    const groups = kind === 'activations' && plan.choices.labels === 'server' ? 4 * evaluated : 0;
    const times = per === 'message' ? messages.length : trained + (withEvaluation ? evaluated : 0);
    expect(sum - groups, `${kind} ${direction}`).toBe(times * bytes);
    expect(messages.length, `${kind} ${direction}`).toBeGreaterThan(0);
  }
}

/** With `union`: the steps of an epoch, and those in which the site takes part. */
function unionSteps(plan: Plan, counts: readonly number[], site: number): readonly [number, number] {
  const steps = Math.ceil(counts.reduce((sum, count) => sum + count, 0) / plan.training.batch);
  const share = (step: number) =>
    Math.floor(((step + 1) * counts[site]!) / steps) - Math.floor((step * counts[site]!) / steps);
  return [steps, Array.from({ length: steps }, (_, step) => share(step)).filter((records) => records > 0).length];
}

/** Records of a site's training, validation and test parts, as the harness deals them. */
function recordsOf(counts: readonly number[], site: number): readonly [number, number, number] {
  const train = counts[site]!;
  return [train, Math.ceil(train / 4), Math.ceil(train / 4)];
}

function parameterBytes(layout: PartLayout): number {
  return layout.groups.reduce((sum, { dims }) => sum + 4 * product(dims), 0);
}

function product(dims: readonly number[]): number {
  return dims.reduce((count, dim) => count * dim, 1);
}
