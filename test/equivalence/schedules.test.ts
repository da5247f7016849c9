// What a study can set beside its choices: sampling, turns, rounds, optimizers, schedules, class weights. Each equals its reference.

import { describe, expect, it } from 'vitest';
import type { Choices, Plan } from '../../src/protocol/index.ts';
import { mlp, planStudy, runInMemory, smallCnn, type TestStudy, twoClasses } from '../harness/study.ts';
import { expectSameAsReference, expectSameBits } from './bits.ts';

type Training = Partial<Plan['training']>;

const union = (['private', 'mirrored', 'average'] as const).map((segments) => ({ order: 'union' as const, segments }));
const turns = (['private', 'average', 'relay'] as const).map((segments) => ({ order: 'turns' as const, segments }));
const arrival = (['private', 'average'] as const).map((segments) => ({ order: 'arrival' as const, segments }));
const averaged = (['private', 'average'] as const).map((segments) => ({
  order: 'none' as const,
  trunk: 'averaged' as const,
  segments,
}));
const detached = [{ when: 'detached' as const, order: 'none' as const, segments: 'mirrored' as const }];

const sgd = { kind: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } as const;
const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const;
const cosine = { kind: 'cosine', warmupSteps: 4, floor: 0.1 } as const;
const steps = { kind: 'step', warmupSteps: 0, everySteps: 3, factor: 0.5 } as const;

const cases: readonly {
  readonly what: string;
  readonly of: readonly Partial<Choices>[];
  readonly training: Training;
  readonly counts?: readonly number[];
  readonly network?: TestStudy['network'];
}[] = [
  { what: 'sampling: global', of: union, training: { sampling: 'global' } },
  {
    what: 'sampling: global with few records',
    of: union,
    training: { sampling: 'global', batch: 7 },
    counts: [29, 1, 3],
  },
  { what: 'a site whose share is zero in some steps', of: union, training: { batch: 10 }, counts: [70, 2, 28] },
  {
    what: 'a site that sits steps out, with Adam and decay',
    of: union,
    training: { batch: 10, optimizer: { ...adam, weightDecay: 0.1 } },
    counts: [3, 90, 1],
  },
  {
    what: 'dropout and a site that sits steps out',
    of: union,
    training: { batch: 8 },
    counts: [30, 2, 8],
    network: smallCnn,
  },
  { what: 'one site', of: [...union, ...turns, ...averaged, ...arrival], training: {}, counts: [50] },
  { what: 'steps of three records', of: union, training: { batch: 3, epochs: 1 }, counts: [7, 9, 8] },
  { what: 'roundSteps: 2', of: [...union.slice(2), ...averaged], training: { roundSteps: 2 } },
  {
    what: 'roundSteps: 2 with Adam',
    of: [...union.slice(2), ...averaged],
    training: { roundSteps: 2, optimizer: adam },
  },
  { what: 'turnSteps: 1', of: turns, training: { turnSteps: 1, batch: 7 } },
  { what: 'turnSteps: 3', of: turns, training: { turnSteps: 3, batch: 4 } },
  { what: 'turnOrder: shuffled', of: turns, training: { turnOrder: 'shuffled', turnSteps: 2, batch: 7 } },
  { what: 'turns with Adam', of: turns, training: { turnSteps: 2, batch: 7, optimizer: adam } },
  {
    what: 'cosine with warm-up',
    of: [...union, ...turns, ...averaged, ...arrival, ...detached],
    training: { schedule: cosine, batch: 12 },
  },
  {
    what: 'steps of the learning rate',
    of: [...union, ...turns, ...averaged, ...arrival],
    training: { schedule: steps },
  },
  { what: 'Nesterov', of: union, training: { optimizer: { ...sgd, nesterov: true } } },
  { what: 'plain SGD with decay', of: union, training: { optimizer: { ...sgd, momentum: 0, weightDecay: 0.01 } } },
  { what: 'Adam', of: [...arrival, ...detached], training: { optimizer: adam } },
  { what: 'AdamW', of: union, training: { optimizer: { ...adam, kind: 'adamw', weightDecay: 0.1 } } },
  { what: 'clipping', of: [...union, ...averaged, ...detached], training: { clipNorm: 0.05 } },
  { what: 'augmented passes', of: detached, training: { augmentPasses: 2 } },
];

for (const { what, of, training, counts = [70, 20, 10], network = mlp } of cases) {
  describe(`a study with ${what}`, () => {
    it.each(of)('with $order and $segments segments', async (choices) => {
      // The U-shape takes its turn with the labels at the server.
      const labels = choices.when !== 'detached' && what.length % 2 === 0 ? 'site' : 'server';
      await expectSameAsReference({ network, choices: { ...choices, labels }, counts, training });
    });
  });
}

describe('classWeights: balanced', () => {
  const binary = { network: { ...mlp, loss: 'binary-cross-entropy' as const }, task: twoClasses };
  it.each([...union, ...turns, ...detached])('with $order and $segments segments', (choices) =>
    expectSameAsReference({ ...binary, choices, counts: [31, 12, 7], training: { classWeights: 'balanced' } }),
  );
  it('with the labels at the sites', () =>
    expectSameAsReference({
      ...binary,
      choices: { labels: 'site' },
      counts: [31, 12, 7],
      training: { classWeights: 'balanced' },
    }));
});

it.each<{ what: string; choices: Partial<Choices>; training: Training }>([
  { what: 'union', choices: {}, training: { sampling: 'global' } },
  {
    what: 'turns',
    choices: { order: 'turns', segments: 'average' },
    training: { turnOrder: 'shuffled', turnSteps: 1 },
  },
  { what: 'averaged', choices: { order: 'none', trunk: 'averaged', segments: 'average' }, training: { roundSteps: 2 } },
  { what: 'detached', choices: { when: 'detached', order: 'none' }, training: { augmentPasses: 1 } },
])('two runs of $what end with the same bits, figures and bytes', async ({ choices, training }) => {
  const test: TestStudy = { network: smallCnn, counts: [20, 13, 7], choices, training: { batch: 9, ...training } };
  const [one, other] = [await runInMemory(planStudy(test)), await runInMemory(planStudy(test))];
  expectSameBits(other.server.trunk, one.server.trunk, 'trunk');
  for (const [site, state] of one.siteStates.entries())
    expectSameBits(other.siteStates[site], state, `what site ${site} has, slots included`);
  expectSameBits(other.commits.at(-1)!.tensors, one.commits.at(-1)!.tensors, 'commit');
  expect(other.server.history).toEqual(one.server.history);
  expect(other.server.test).toEqual(one.server.test);
  expect([other.server.bytesUp, other.server.bytesDown]).toEqual([one.server.bytesUp, one.server.bytesDown]);
});
