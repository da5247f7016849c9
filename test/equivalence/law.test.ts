// The law (SEMANTICS.md): `live` + `union` + `mirrored` is ordinary training of the uncut network on the concatenated batches.

import { describe, expect, it } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import { mlp, planStudy, runInMemory, smallCnn, type TestStudy } from '../harness/study.ts';
import { trainUncut, uncutUnion } from '../reference/uncut.ts';
import { expectLearnt, expectSameNetwork, splitParameters } from './compare.ts';

/** At these rates the loss falls by far more than a fifth in 50 steps, and training stays smooth: a rounding error does not grow. */
const networks = [
  { name: 'lipid-mlp', network: mlp, learningRate: 0.05, tolerance: 1e-5 },
  {
    name: 'ct-cnn with dropout',
    network: { ...smallCnn, options: { size: 32, dropout: 0.5 } },
    learningRate: 0.008,
    tolerance: 1e-4,
  },
];
const deals = [[200], [67, 67, 66], [140, 40, 20], [120, 20, 20, 20, 20]];

describe.each(networks)('$name', ({ network, learningRate, tolerance }) => {
  it.each(deals.map((counts) => ({ counts, ratio: counts.join(':') })))(
    'split over sites of $ratio records ends 50 steps of momentum with the parameters of the uncut network',
    async ({ counts }) => {
      const test: TestStudy = { network, counts, training: { epochs: 5, learningRate, select: 'last' } };
      const split = await runInMemory(planStudy(test));
      await using engine = await openEngine({ placement: 'inline', threads: 1 });
      const planned = planStudy(test);
      const uncut = await trainUncut(planned, engine, uncutUnion);

      expect(uncut.losses.length).toBe(50);
      expectLearnt(uncut, tolerance);
      expect(split.steps.length).toBe(50);
      for (const [step, loss] of uncut.losses.entries())
        expect(Math.abs(split.steps[step]!.loss! - loss), `loss of step ${step}`).toBeLessThan(tolerance);
      for (const site of counts.keys())
        expectSameNetwork(splitParameters(planned.plan, split, site), uncut.end, tolerance);
    },
  );
});
