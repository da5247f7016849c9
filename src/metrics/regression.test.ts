import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import golden from './golden/metrics.json' with { type: 'json' };
import { pooledRegressionMetrics, regressionMetrics, siteRegression } from './regression.ts';
import { isBetter } from './selection.ts';
import { classificationMetrics } from './classification.ts';

describe('regressionMetrics', () => {
  test('worked by hand', () => {
    // Errors 1, -1, 2: squares sum to 6; targets 1, 2, 6 have mean 3 and squares 4 + 1 + 9 = 14.
    const metrics = regressionMetrics({ predictions: [2, 1, 8], targets: [1, 2, 6] });
    const logs = [Math.log(3 / 2), Math.log(2 / 3), Math.log(9 / 7)];
    expect(metrics).toMatchObject({ n: 3, loss: 2, nNegative: 0 });
    expect(metrics.rmse).toBeCloseTo(Math.sqrt(2), 14);
    expect(metrics.mae).toBeCloseTo(4 / 3, 14);
    expect(metrics.r2).toBeCloseTo(1 - 6 / 14, 14);
    expect(metrics.rmsle).toBeCloseTo(Math.sqrt(logs.reduce((sum, log) => sum + log * log, 0) / 3), 14);
  });

  test.each(golden.regression)('equals numpy (case %#)', ({ predictions, targets, expected }) => {
    const metrics = regressionMetrics({ predictions, targets });
    for (const key of ['rmse', 'mae', 'r2', 'rmsle'] as const) expect(metrics[key]).toBeCloseTo(expected[key], 11);
  });

  test('a prediction below zero is counted, and there is then no RMSLE', () => {
    const metrics = regressionMetrics({ predictions: [-0.001, 3, -5], targets: [1, 2, 3] });
    expect(metrics).toMatchObject({ nNegative: 2, rmsle: null });
    expect(regressionMetrics({ predictions: [0, 1], targets: [1, 2] })).toMatchObject({ nNegative: 0 });
    expect(regressionMetrics({ predictions: [0, 1], targets: [1, 2] }).rmsle).not.toBeNull();
    expect(regressionMetrics({ predictions: [1, 1], targets: [-2, 2] }).rmsle).toBeNull();
  });

  test('R2 is 1 for perfect predictions, 0 for the mean, null for equal targets', () => {
    expect(regressionMetrics({ predictions: [1, 2, 3], targets: [1, 2, 3] }).r2).toBe(1);
    expect(regressionMetrics({ predictions: [2, 2, 2], targets: [1, 2, 3] }).r2).toBe(0);
    expect(regressionMetrics({ predictions: [1, 2, 3], targets: [0.1, 0.1, 0.1] }).r2).toBeNull();
  });

  test('losses and weights make the loss, and nothing else', () => {
    const metrics = regressionMetrics({ predictions: [2, 1], targets: [1, 2], losses: [10, 20], weights: [1, 0.5] });
    expect(metrics).toMatchObject({ loss: 10, rmse: 1 });
  });

  test('of no records every figure is null; what is not finite is refused', () => {
    expect(regressionMetrics({ predictions: [], targets: [] })).toEqual({
      n: 0,
      loss: null,
      rmse: null,
      mae: null,
      r2: null,
      rmsle: null,
      nNegative: 0,
    });
    expect(() => regressionMetrics({ predictions: [Number.NaN, Infinity, 1], targets: [1, 1, 1] })).toThrow('2 of 3');
  });
});

describe('pooledRegressionMetrics', () => {
  test('equals the figures of the pooled records', () => {
    const value = fc.double({ min: 0, max: 300, noNaN: true }).map((x) => Math.round(x * 8) / 8);
    const records = fc.array(fc.tuple(value, value, fc.integer({ min: 0, max: 2 })), { maxLength: 40 });
    fc.assert(
      fc.property(records, (all) => {
        const input = (own: typeof all) => ({ predictions: own.map(([p]) => p), targets: own.map(([, y]) => y) });
        const whole = regressionMetrics(input(all));
        const pooled = pooledRegressionMetrics(
          [0, 1, 2].map((site) => siteRegression(input(all.filter((record) => record[2] === site)))),
        );
        for (const key of ['n', 'loss', 'rmse', 'mae', 'r2', 'rmsle', 'nNegative'] as const) {
          const [value, expected] = [pooled[key], whole[key]];
          if (value === null || expected === null) expect(value).toBe(expected);
          else expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(expected)));
        }
      }),
    );
  });
});

describe('isBetter', () => {
  const regression = (rmse: number | null) => ({ ...regressionMetrics({ predictions: [1], targets: [1] }), rmse });
  const classification = (auc: number | null, loss: number | null) => ({
    ...classificationMetrics({ probabilities: [], labels: [], classCount: 2 }),
    auc,
    loss,
  });

  test('a higher AUC, whatever the loss; the earliest of equals', () => {
    expect(isBetter(classification(0.5, 1), undefined)).toBe(true);
    expect(isBetter(classification(0.8, 9), classification(0.7, 1))).toBe(true);
    expect(isBetter(classification(0.7, 0), classification(0.7, 1))).toBe(false);
    expect(isBetter(classification(0.6, 0), classification(0.7, 1))).toBe(false);
  });

  test('without an AUC a lower loss', () => {
    expect(isBetter(classification(null, 1), classification(null, 2))).toBe(true);
    expect(isBetter(classification(null, 2), classification(null, 2))).toBe(false);
    expect(isBetter(classification(null, Number.NaN), classification(null, 2))).toBe(false);
    expect(isBetter(classification(null, 2), classification(null, Number.NaN))).toBe(true);
  });

  test('a lower RMSE; null never beats and is always beaten', () => {
    expect(isBetter(regression(7), regression(8))).toBe(true);
    expect(isBetter(regression(8), regression(8))).toBe(false);
    expect(isBetter(regression(null), regression(8))).toBe(false);
    expect(isBetter(regression(8), regression(null))).toBe(true);
  });
});
