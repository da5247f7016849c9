// `when: buffered` with windows of several lengths: each study equals its reference bit for bit, a window of one step is `live`, and a
// longer one is not.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../src/base/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { type Choices, disciplines, type Plan } from '../../src/protocol/index.ts';
import type { PlanSettings } from '../../src/split/index.ts';
import { mlp, planStudy, runInMemory, secretSeedOf, smallCnn, type TestStudy } from '../harness/study.ts';
import { trainReference } from '../reference/index.ts';
import { expectSameAsReference, expectSameBits } from './bits.ts';

type Training = Partial<Plan['training']>;

const buffered = 'buffered' as const;
const union = (['private', 'mirrored', 'average'] as const).map((segments) => ({
  when: buffered,
  order: 'union' as const,
  segments,
}));
const arrival = (['private', 'average'] as const).map((segments) => ({
  when: buffered,
  order: 'arrival' as const,
  segments,
}));
const all = [...union, ...arrival];
const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const;

/** ct-cnn cut late: the segment has convolutions, whose outputs are kept for the backward pass, and dropout. */
const deep: PlanSettings['network'] = { ...smallCnn, cut: 'dropout2' };
const normalized = (): PlanSettings['network'] => {
  const bytes = readFileSync(new URL('../golden/models/small-cnn.onnx', import.meta.url));
  return {
    name: 'small-cnn',
    options: {},
    loss: 'softmax-cross-entropy',
    cut: '/Relu_output_0',
    file: { bytes, sha256: sha256Hex(bytes) },
  };
};

const cases: readonly {
  readonly what: string;
  readonly of: readonly Partial<Choices>[];
  readonly training: Training;
  readonly counts?: readonly number[];
  readonly network?: () => PlanSettings['network'];
  readonly task?: Plan['task'];
}[] = [
  { what: 'a window of 2', of: all, training: { windowSteps: 2, batch: 12 } },
  { what: 'a window of 3 and Adam', of: all, training: { windowSteps: 3, batch: 12, optimizer: adam } },
  { what: 'a window longer than an epoch', of: all, training: { windowSteps: 50, batch: 12 } },
  { what: 'a window of 5 and rounds of 3 steps', of: all, training: { windowSteps: 5, roundSteps: 3, batch: 8 } },
  {
    what: 'rounds of 4 steps and Adam',
    of: all,
    training: { windowSteps: 3, roundSteps: 4, batch: 8, optimizer: adam },
  },
  {
    what: 'a site that sits steps out',
    of: union,
    training: { windowSteps: 3, batch: 10, optimizer: { ...adam, weightDecay: 0.1 } },
    counts: [90, 3, 7],
  },
  {
    what: 'global sampling',
    of: union,
    training: { windowSteps: 4, batch: 7, sampling: 'global' },
    counts: [29, 1, 13],
  },
  {
    what: 'clipping and a cosine',
    of: all,
    training: { windowSteps: 3, batch: 9, clipNorm: 0.05, schedule: { kind: 'cosine', warmupSteps: 4, floor: 0.1 } },
  },
  {
    what: 'kept values and dropout in the segment',
    of: all,
    training: { windowSteps: 3, batch: 8 },
    counts: [30, 9, 6],
    network: () => deep,
  },
  {
    what: 'running statistics in the segment',
    of: all.filter(({ segments }) => segments !== 'mirrored'),
    training: { windowSteps: 3, batch: 8, roundSteps: 4 },
    counts: [30, 13, 9],
    network: normalized,
    task: { kind: 'classification', classes: ['no', 'little', 'much'], threshold: 0.5 },
  },
  { what: 'one site', of: all, training: { windowSteps: 4, batch: 9 }, counts: [50] },
  {
    what: 'pieces of a batch',
    of: all,
    training: { windowSteps: 3, batch: 90, epochs: 2 },
    counts: [400, 90, 60],
    network: () => ({ ...smallCnn, cut: 'conv1' }),
  },
];

for (const { what, of, training, counts = [70, 20, 10], network = () => mlp, task } of cases) {
  describe(`a buffered study with ${what}`, () => {
    it.each(of)('and $order, $segments segments', (choices) =>
      expectSameAsReference({ network: network(), choices, counts, training, ...(task ? { task } : {}) }),
    );
  });
}

describe.each(disciplines)('the discipline %s', (discipline) => {
  it.each(['private', 'average'] as const)('writes an order that alone gives every bit, with %s segments', (segments) =>
    expectSameAsReference({
      choices: { when: buffered, order: 'arrival', segments },
      training: { windowSteps: 3, batch: 7, discipline, epochs: 3 },
    }),
  );

  it('serves live sites too', () =>
    expectSameAsReference({
      choices: { order: 'arrival', segments: 'private' },
      training: { batch: 7, discipline },
    }));
});

/** The study run as it is, and the reference of its live counterpart on the order that the run wrote. */
async function besideLive(test: TestStudy) {
  const outcome = await runInMemory(planStudy({ ...test, training: { ...test.training, select: 'last' } }));
  const { windowSteps, ...training } = { ...test.training, select: 'last' as const };
  expect(windowSteps).toBeDefined();
  const live = planStudy({ ...test, choices: { ...test.choices, when: 'live' }, training });
  await using engine = await openEngine({ placement: 'inline', threads: 1 });
  return { outcome, live: await trainReference(live, engine, { secretSeedOf, log: outcome.log }) };
}

describe('a window of one step', () => {
  it.each(all)('is live, with $order and $segments segments', async (choices) => {
    const { outcome, live } = await besideLive({ choices, training: { windowSteps: 1, batch: 12, roundSteps: 3 } });
    for (const [site, state] of live.last.sites.entries())
      expectSameBits(outcome.siteStates[site], state, `what site ${site} has`);
    const trunk = Object.keys(outcome.server.trunk);
    expectSameBits(
      outcome.server.trunk,
      Object.fromEntries(trunk.map((name) => [name, live.last.trunk[name]!])),
      'trunk',
    );
  });
});

describe('a window of two steps', () => {
  it.each(all)('is not live, with $order and $segments segments', async (choices) => {
    const { outcome, live } = await besideLive({ choices, training: { windowSteps: 2, batch: 12 } });
    const name = 'segment.w0';
    expect(outcome.siteStates[0]?.[name]?.data).not.toEqual(live.last.sites[0]?.[name]?.data);
  });
});

it.each(union)('two buffered runs of $order, $segments end with the same bits and bytes', async (choices) => {
  const test: TestStudy = { network: smallCnn, counts: [20, 13, 7], choices, training: { batch: 9, windowSteps: 3 } };
  const [one, other] = [await runInMemory(planStudy(test)), await runInMemory(planStudy(test))];
  expectSameBits(other.server.trunk, one.server.trunk, 'trunk');
  for (const [site, state] of one.siteStates.entries())
    expectSameBits(other.siteStates[site], state, `what site ${site} has, slots included`);
  expect(other.server.history).toEqual(one.server.history);
  expect([other.server.bytesUp, other.server.bytesDown]).toEqual([one.server.bytesUp, one.server.bytesDown]);
});

it('tells of each batch from the queue how old it was', async () => {
  const { steps } = await runInMemory(
    planStudy({
      choices: { when: buffered, order: 'arrival', segments: 'private' },
      training: { windowSteps: 3, batch: 7 },
    }),
  );
  const bySite = new Map<number, number[]>();
  for (const { epoch, siteLosses, staleness } of steps) {
    const { site } = siteLosses[0]!;
    if (epoch === 0) bySite.set(site, [...(bySite.get(site) ?? []), staleness!.updatesBehind]);
    expect(staleness!.waitedSteps).toBeGreaterThanOrEqual(0);
  }
  expect(bySite.get(0)).toEqual([0, 1, ...new Array<number>(8).fill(2)]);
  expect(bySite.get(2)).toEqual([0, 1]);
  // Three sites with three batches each at a server that takes one at a time: somebody waits.
  expect(Math.max(...steps.map(({ staleness }) => staleness!.waitedSteps))).toBeGreaterThanOrEqual(2);
});
