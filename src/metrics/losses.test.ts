import { describe, expect, test } from 'vitest';
import {
  binaryCrossEntropies,
  meanLoss,
  sigmoid,
  sigmoidProbabilities,
  softmaxCrossEntropies,
  softmaxProbabilities,
  squaredLogErrors,
} from './losses.ts';

describe('losses of logits', () => {
  test('worked by hand', () => {
    expect(softmaxCrossEntropies([0, 0, 0, 0], [0, 1], 2)).toEqual(new Float64Array([Math.LN2, Math.LN2]));
    expect(softmaxCrossEntropies([Math.log(1), Math.log(2), Math.log(5)], [1], 3)[0]).toBeCloseTo(Math.log(4), 14);
    // Probabilities 1/2, 3/4 and 3/4 of class 1.
    const losses = binaryCrossEntropies([0, Math.log(3), Math.log(3)], [1, 1, 0]);
    for (const [i, chance] of [1 / 2, 3 / 4, 1 / 4].entries()) expect(losses[i]).toBeCloseTo(-Math.log(chance), 14);
    expect(squaredLogErrors([Math.E - 1], [0])[0]).toBeCloseTo(1, 14);
  });

  test('neither overflow nor lose a confident record’s small loss', () => {
    expect([...softmaxCrossEntropies([1000, 0, 1000, 0], [0, 1], 2)]).toEqual([0, 1000]);
    expect([...binaryCrossEntropies([800, 800, -800], [1, 0, 1])]).toEqual([0, 800, 800]);
    // exp(-40) = 4.248354255291589e-18, far below 1's last bit.
    expect(softmaxCrossEntropies([40, 0], [0], 2)[0]! / 4.248354255291589e-18).toBeCloseTo(1, 12);
    expect(binaryCrossEntropies([40], [1])[0]! / 4.248354255291589e-18).toBeCloseTo(1, 12);
    expect(softmaxProbabilities([1000, 0, -1000, -1000], 2)).toEqual(new Float64Array([1, 0, 0.5, 0.5]));
    expect(sigmoid(-745)).toBeGreaterThan(0);
  });

  test('one logit and the two logits (0, z) agree', () => {
    for (const z of [-30, -2, 0, 0.5, 20]) {
      for (const label of [0, 1]) {
        expect(binaryCrossEntropies([z], [label])[0]).toBeCloseTo(softmaxCrossEntropies([0, z], [label], 2)[0]!, 14);
      }
      const [one, two] = [sigmoidProbabilities([z]), softmaxProbabilities([0, z], 2)];
      expect(one[1]).toBeCloseTo(two[1]!, 14);
      expect(sigmoidProbabilities([z], 0)[0]).toBe(one[1]);
    }
  });

  test('equal largest logits share', () => {
    expect(softmaxCrossEntropies([7, 7, 7], [2], 3)[0]).toBeCloseTo(Math.log(3), 14);
  });

  test('a NaN logit gives a NaN loss', () => {
    expect(softmaxCrossEntropies([Number.NaN, 1], [1], 2)[0]).toBeNaN();
    expect(binaryCrossEntropies([Number.NaN], [1])[0]).toBeNaN();
  });
});

test('meanLoss divides by the records, not by the weights', () => {
  expect(meanLoss([1, 2, 3])).toBe(2);
  expect(meanLoss([1, 2, 3], [2, 0.5, 0])).toBe(1);
  expect(meanLoss([])).toBeNull();
});
