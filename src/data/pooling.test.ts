import { describe, expect, it } from 'vitest';
import { addSums, columnSums, poolStandardisation, standardisation } from './pooling.ts';

const none = columnSums([], 0);

describe('pooling', () => {
  const first = [
    [1, 10],
    [2, NaN],
    [3, 30],
  ];
  const second = [[6, 50]];

  it('of sites’ sums equals the pooled records, missing values left out', () => {
    const pool = standardisation([columnSums(first, 2), columnSums(second, 2)]);
    expect(pool.mean).toEqual([3, 30]);
    expect(pool.sd[0]).toBeCloseTo(Math.sqrt((4 + 1 + 0 + 9) / 4), 12);
    expect(pool.sd[1]).toBeCloseTo(Math.sqrt(800 / 3), 12);
    expect(addSums([columnSums(first, 2), columnSums(second, 2)]).counts).toEqual([4, 3]);
  });

  it('takes an sd of 1 where all values are the same, and says so', () => {
    // 0.1 has no exact square: rounding must not pass for a spread.
    const inputs = columnSums(
      Array.from({ length: 1000 }, (_, index) => [0.1, index]),
      2,
    );
    const target = columnSums([[4], [6]], 1);
    const pool = poolStandardisation([{ inputs, target }]);
    expect(pool.inputs.sd[0]).toBe(1);
    expect(pool.inputs.mean[0]).toBeCloseTo(0.1, 12);
    expect(pool.constant).toEqual([0]);
    expect(pool.target).toEqual({ mean: [5], sd: [1] });
  });

  it('leaves columns without numbers alone: mean 0, sd 1, not called constant', () => {
    const pool = poolStandardisation([{ inputs: { counts: [0], sums: [0], squares: [0] }, target: none }]);
    expect(pool).toEqual({ inputs: { mean: [0], sd: [1] }, target: { mean: [], sd: [] }, constant: [] });
  });
});
