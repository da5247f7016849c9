import { describe, expect, test } from 'vitest';
import { randomStream } from '../base/index.ts';
import { rocAuc } from './auc.ts';
import golden from './golden/metrics.json' with { type: 'json' };
import { fitLinear, fitLogistic, predictLinear, predictLogistic, type LinearModel } from './linear-baseline.ts';

function expectModel(model: LinearModel, expected: { weights: number[]; intercept: number }): void {
  for (const [c, weight] of expected.weights.entries()) {
    expect(Math.abs(model.weights[c]! - weight)).toBeLessThan(1e-6 * (1 + Math.abs(weight)));
  }
  expect(Math.abs(model.intercept - expected.intercept)).toBeLessThan(1e-5 * (1 + Math.abs(expected.intercept)));
}

test.each(golden.linear)('ridge and logistic regression equal dense solutions ($columns columns)', (sample) => {
  const x = Float64Array.from(sample.x);
  const { columns, l2, y, labels } = sample;
  expectModel(fitLinear({ x, columns, y, l2, tolerance: 1e-10 }), sample.ridge);
  expectModel(fitLogistic({ x, columns, y: labels, l2, tolerance: 1e-10 }), sample.logistic);
});

describe('fitLinear', () => {
  test('finds an exact line without a penalty, columns of unlike scale', () => {
    const x = Float64Array.from([1, 1000, 2, 1400, 3, 900, 4, 2000, 5, 1700]);
    const y = [0, 1, 2, 3, 4].map((i) => 7 + 2 * x[2 * i]! - 0.01 * x[2 * i + 1]!);
    expectModel(fitLinear({ x, columns: 2, y, l2: 0, tolerance: 1e-12 }), { weights: [2, -0.01], intercept: 7 });
  });

  test('gives a best fit where columns are constant or repeat each other', () => {
    const x = Float64Array.from([1, 1, 5, 2, 2, 5, 3, 3, 5, 4, 4, 5]);
    const model = fitLinear({ x, columns: 3, y: [3, 5, 7, 9], l2: 0, tolerance: 1e-12 });
    for (const [i, value] of predictLinear(model, x).entries()) expect(value).toBeCloseTo(3 + 2 * i, 8);
  });

  test('a large penalty leaves the mean', () => {
    const model = fitLinear({ x: Float64Array.from([1, 2, 3]), columns: 1, y: [1, 2, 6], l2: 1e12 });
    expect(predictLinear(model, Float64Array.from([10]))[0]).toBeCloseTo(3, 6);
  });

  test('equal targets give that target', () => {
    const model = fitLinear({ x: Float64Array.from([1, 2, 3]), columns: 1, y: [4, 4, 4], l2: 1 });
    expectModel(model, { weights: [0], intercept: 4 });
  });
});

describe('fitLogistic', () => {
  test('separable classes have a finite solution, at which the gradient vanishes', () => {
    const x = Float64Array.from([-2, -1, 1, 2]);
    const y = [0, 0, 1, 1];
    const model = fitLogistic({ x, columns: 1, y, l2: 0.01, tolerance: 1e-10 });
    const p = predictLogistic(model, x);
    const gradient = y.reduce((sum, label, i) => sum + (p[i]! - label) * x[i]!, 0.01 * model.weights[0]!);
    expect(Math.abs(gradient)).toBeLessThan(1e-7);
    expect(model.intercept).toBeCloseTo(0, 8);
  });

  test('copes with more columns than rows, as images have, and finds what is there', () => {
    const rows = 120;
    const columns = 400;
    const x = new Float32Array(rows * columns);
    randomStream(1, 'pixels').fillNormal(x);
    const y = Array.from({ length: rows }, (_, i) => i % 2);
    for (let i = 0; i < rows; i++) for (let c = 0; c < 40; c++) x[i * columns + c]! += 0.5 * (y[i]! - 0.5);
    const half = (rows / 2) * columns;
    const model = fitLogistic({ x: x.subarray(0, half), columns, y: y.slice(0, rows / 2), l2: 10 });
    const { auc } = rocAuc(predictLogistic(model, x.subarray(half)), y.slice(rows / 2));
    expect(auc).toBeGreaterThan(0.7);
  });

  test('the default tolerance gives the same probabilities to three digits', () => {
    const { columns, labels, l2, ...sample } = golden.linear[0]!;
    const x = Float64Array.from(sample.x);
    const exact = predictLogistic(fitLogistic({ x, columns, y: labels, l2, tolerance: 1e-10 }), x);
    for (const [i, p] of predictLogistic(fitLogistic({ x, columns, y: labels, l2 }), x).entries()) {
      expect(Math.abs(p - exact[i]!)).toBeLessThan(5e-4);
    }
  });

  test('needs a penalty', () => {
    expect(() => fitLogistic({ x: Float64Array.from([1, 2]), columns: 1, y: [0, 1], l2: 0 })).toThrow('internal');
  });
});
