// The law (SEMANTICS.md): `live` + `union` + `mirrored` is ordinary training of the uncut network on the concatenated batches; and the
// three further combinations that are loops over the uncut network.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import type { Choices, Plan } from '../../src/protocol/index.ts';
import { initialState } from '../../src/split/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { elementCount, type Tensor, tensor } from '../../src/tensor/index.ts';
import { goldenStudies } from '../golden/law/studies.ts';
import { mlp, planStudy, runInMemory, smallCnn, type StudyOutcome, type TestStudy } from '../harness/study.ts';
import {
  type NamedState,
  namedState,
  stepUncut,
  trainUncut,
  uncutAveraged,
  uncutTurns,
  uncutUnion,
  type UncutResult,
} from '../reference/uncut.ts';
import { expectLearnt, expectMoved, expectSameNetwork, splitParameters } from './compare.ts';

/** At these rates the loss falls by far more than a fifth in 50 steps, and training stays smooth: a rounding error does not grow. */
const seed = 3;
const networks = [
  { name: 'lipid-mlp', network: mlp, learningRate: 0.05, tolerance: 1e-5 },
  {
    name: 'ct-cnn with dropout',
    network: { ...smallCnn, options: { size: 32, dropout: 0.5 } },
    learningRate: 0.004,
    tolerance: 1e-4,
  },
];
const deals: { counts: readonly number[]; choices?: Partial<Choices> }[] = [
  { counts: [200] },
  { counts: [67, 67, 66] },
  { counts: [140, 40, 20] },
  { counts: [120, 20, 20, 20, 20] },
  { counts: [140, 40, 20], choices: { labels: 'site' } },
];

describe.each(networks)('live, union and mirrored with $name', ({ network, learningRate, tolerance }) => {
  it.each(deals.map((deal) => ({ ...deal, ratio: deal.counts.join(':'), labels: deal.choices?.labels ?? 'server' })))(
    'ends 50 steps of momentum as the uncut network, with sites of $ratio records and labels at the $labels',
    async ({ counts, choices = {} }) => {
      // With the labels at the server both run the same operators on the same batches, and gradients are added up over records in float64:
      // not only is the difference small, there is none. A head at the sites sees fewer rows at a time than in the uncut network.
      const atSite = choices.labels === 'site';
      const test: TestStudy = { seed, network, counts, choices, training: { epochs: 5, learningRate, select: 'last' } };
      const split = await runInMemory(planStudy(test));
      await using engine = await openEngine({ placement: 'inline', threads: 1 });
      const planned = planStudy(test);
      const uncut = await trainUncut(planned, engine, uncutUnion);

      expect(uncut.losses.length).toBe(50);
      expectLearnt(uncut, tolerance);
      for (const [step, loss] of uncut.losses.entries())
        expect(Math.abs(lossOf(split, step) - loss), `loss of step ${step}`).toBeLessThan(atSite ? tolerance : 1e-12);
      for (const site of counts.keys())
        expectSameNetwork(splitParameters(planned.plan, split, site), uncut.end, atSite ? tolerance : 0);
    },
  );

  it.each(['adam', 'adamw'] as const)('makes one step of %s as the uncut network, moments included', async (kind) => {
    // Both go from the state that the split network has after three steps of a whole epoch each.
    const stepsBefore = 3;
    const optimizer = { kind, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
    const after = (epochs: number): TestStudy => ({
      seed,
      network,
      counts: [28, 8, 4],
      training: { batch: 40, epochs, optimizer, learningRate: 0.005, select: 'last' },
    });
    const { plan } = planStudy(after(stepsBefore));
    const before = splitState(plan, await runInMemory(planStudy(after(stepsBefore))));
    const split = splitState(plan, await runInMemory(planStudy(after(stepsBefore + 1))));
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    const uncut = await stepUncut(planStudy(after(stepsBefore + 1)), engine, before, stepsBefore);

    expectSameNetwork(split.parameters, uncut.parameters, tolerance);
    expect(split.slots.length).toBe(2);
    for (const [slot, values] of split.slots.entries()) expectSameNetwork(values, uncut.slots[slot]!, tolerance);
    // It was a step worth the name: every tensor and every moment moved.
    expectMoved(before.parameters, uncut.parameters, 5 * tolerance);
    for (const [slot, values] of uncut.slots.entries()) expectMoved(before.slots[slot]!, values, 2 * tolerance);
  });
});

describe.each([
  { name: 'turns and relay', choices: { order: 'turns', segments: 'relay' }, loop: uncutTurns },
  {
    name: 'averaged and average',
    choices: { order: 'none', trunk: 'averaged', segments: 'average' },
    loop: uncutAveraged,
  },
] as const)('$name', ({ name, choices, loop }) => {
  const of = name.startsWith('turns') ? "the uncut network on the sites' batches in turn" : 'FedAvg of uncut networks';
  it.each(networks)(`is ${of}, with $name`, async ({ network, learningRate, tolerance }) => {
    const training = { batch: 10, turnSteps: 3, roundSteps: 2, epochs: 5, learningRate, select: 'last' as const };
    const test: TestStudy = { seed, network, counts: [63, 28, 9], choices, training };
    const split = await runInMemory(planStudy(test));
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    const planned = planStudy(test);
    const uncut = await trainUncut(planned, engine, loop);

    expect(uncut.losses.length).toBe(55);
    expectLearnt(uncut, tolerance);
    for (const site of planned.plan.sites.keys())
      expectSameNetwork(splitParameters(planned.plan, split, site), uncut.end, tolerance);
    for (const site of planned.plan.sites.keys()) {
      // Moments too: on an AVX-512 CPU neither they nor the parameters differ in a bit.
      const { slots } = splitState(planned.plan, split, site);
      expect(slots.length).toBe(1);
      expectSameNetwork(slots[0]!, uncut.slots[0]!, tolerance);
    }
  });
});

// Its wide convolutions go into Winograd's transformed domain (where ONNX Runtime has blocked kernels) unless an engine is told not to.
describe('live, union and mirrored with vgg19 of 32 x 32 pixels', () => {
  const steps = 4;
  const test: TestStudy = {
    seed,
    network: { name: 'vgg19', options: { size: 32 }, loss: 'binary-cross-entropy' },
    counts: [7, 3],
    training: { batch: 10, epochs: steps, learningRate: 0.02, select: 'last' },
  };
  const ends: UncutResult[] = [];

  it.each(['auto', 'direct', 'standard'] as const)(
    'is the uncut network, with the %s lowering',
    { timeout: 120_000 },
    async (how) => {
      const lowered = how === 'standard' ? { lowering: 'none' as const } : { convolution: how };
      const options = { placement: 'inline', threads: 1, ...lowered } as const;
      const planned = planStudy(test);
      const listener = createMemoryListener();
      const split = await runInMemory(
        planned,
        {},
        {
          listener,
          connect: async () => listener.connect(),
          openEngine: () => openEngine(options),
        },
      );
      await using engine = await openEngine(options);
      const uncut = await trainUncut(planStudy(test), engine, uncutUnion);
      expect(uncut.losses.length).toBe(steps);
      for (const [step, loss] of uncut.losses.entries())
        expect(Math.abs(lossOf(split, step) - loss), `loss of step ${step}`).toBeLessThan(1e-4);
      for (const site of planned.plan.sites.keys())
        expectSameNetwork(splitParameters(planned.plan, split, site), uncut.end, 1e-4);
      ends.push(uncut);
    },
  );

  it('ends in the same place whatever the lowering', () => {
    const [first, ...others] = ends;
    for (const other of others) {
      // A rectifier or a maximum that rounding decides differently changes what a few weights learn.
      expectSameNetwork(other.end, first!.end, 0.02);
      for (const [step, loss] of other.losses.entries())
        expect(Math.abs(loss - first!.losses[step]!)).toBeLessThan(1e-3);
    }
    expect(Math.abs(first!.losses.at(-1)! - first!.losses[0]!)).toBeGreaterThan(0.01);
  });
});

describe("PyTorch's numbers", () => {
  const golden = JSON.parse(readFileSync(goldenFile('law.json'), 'utf8')) as Record<string, Golden>;
  it.each([
    { name: 'lipid-mlp', tolerance: 1e-5 },
    { name: 'ct-cnn', tolerance: 1e-4 },
  ])('end where the split $name ends after 50 steps from the same start, batches and masks', async (goal) => {
    const { parameters, losses } = golden[goal.name]!;
    const planned = planStudy(goldenStudies[goal.name]);
    const split = await runInMemory(planned);
    const bytes = readFileSync(goldenFile(`${goal.name}.bin`));
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    let at = 0;
    const end = new Map<string, Tensor>();
    for (const { name, dims } of parameters) {
      const count = elementCount(dims);
      end.set(name, tensor('float32', dims, numbers.slice(at, at + count)));
      at += count;
    }
    expect(at).toBe(numbers.length);

    const { segment, trunk } = planned.study.parts;
    const start = new Map(
      [segment, trunk].flatMap((part) => [
        ...namedState({ ...part }, initialState(part, planned.plan.seed)).parameters,
      ]),
    );
    expectLearnt({ losses, start, end, slots: [] }, goal.tolerance);
    expect(losses.length).toBe(50);
    for (const [step, loss] of losses.entries())
      expect(Math.abs(lossOf(split, step) - loss), `loss of step ${step}`).toBeLessThan(goal.tolerance);
    expectSameNetwork(splitParameters(planned.plan, split, 0), end, goal.tolerance);
  });
});

/** What make_law.py writes of a study, beside the parameters' numbers. */
interface Golden {
  readonly parameters: readonly { readonly name: string; readonly dims: readonly number[] }[];
  readonly losses: readonly number[];
}

function goldenFile(name: string): URL {
  return new URL(`../golden/law/${name}`, import.meta.url);
}

/** The loss of a server step, which with the labels at the sites only they know. */
function lossOf(split: StudyOutcome, step: number): number {
  const known = split.steps[step]?.loss;
  if (known !== undefined && known !== null) return known;
  const perEpoch = split.steps.length / split.commits.length;
  const [epoch, stepOfEpoch] = [Math.floor(step / perEpoch), step % perEpoch];
  return split.siteSteps
    .flatMap((steps) => steps.filter((own) => own.epoch === epoch && own.step === stepOfEpoch))
    .reduce((sum, { loss }) => sum + (loss ?? Number.NaN), 0);
}

/** The whole network's state with its slots, the segment as one site has it. */
function splitState({ layouts }: Plan, outcome: StudyOutcome, site = 0): NamedState {
  const segment = namedState({ part: 'segment', layout: layouts.segment }, outcome.siteStates[site]!);
  const trunk = namedState({ part: 'trunk', layout: layouts.trunk }, outcome.commits.at(-1)!.tensors);
  return {
    parameters: new Map([...segment.parameters, ...trunk.parameters]),
    slots: segment.slots.map((values, slot) => new Map([...values, ...trunk.slots[slot]!])),
  };
}
