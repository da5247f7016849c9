import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { brierScore, calibrationBins, expectedCalibrationError } from './calibration.ts';
import { randomStream } from '../base/index.ts';

/** `[n, 2]` of the probabilities of class 1. */
const twoClasses = (p: readonly number[]) => p.flatMap((value) => [1 - value, value]);

describe('brierScore', () => {
  test('worked by hand: two classes, and three', () => {
    expect(brierScore(twoClasses([0.8, 0.3]), [1, 0], 2)).toBeCloseTo((0.04 + 0.09) / 2, 14);
    // Of class 0 as the positive one it is the same.
    expect(brierScore(twoClasses([0.8, 0.3]), [1, 0], 2, 0)).toBeCloseTo((0.04 + 0.09) / 2, 14);
    expect(brierScore([0.5, 0.3, 0.2], [1], 3)).toBeCloseTo(0.25 + 0.49 + 0.04, 14);
    expect(brierScore([], [], 2)).toBeNull();
  });
});

describe('calibrationBins', () => {
  test('cuts twelve records into ten bins of one or two', () => {
    const p = Array.from({ length: 12 }, (_, i) => i / 12);
    const bins = calibrationBins(p, new Array<number>(12).fill(1));
    expect(bins.map((bin) => bin.count)).toEqual([1, 1, 1, 1, 2, 1, 1, 1, 1, 2]);
    expect(bins[4]!.meanProbability).toBeCloseTo(4.5 / 12, 14);
  });

  test('leaves out empty bins when records are few', () => {
    expect(calibrationBins([0.5, 0.1, 0.9], [1, 0, 1]).map((bin) => bin.meanProbability)).toEqual([0.1, 0.5, 0.9]);
  });

  test('records of equal probability share their mean outcome, so their order plays no part', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), { maxLength: 50 }),
        fc.nat(),
        (records, seed) => {
          const order = [...randomStream(seed, 'test').permutation(records.length)];
          const p = records.map(([value]) => value / 4);
          const y = records.map(([, outcome]) => (outcome ? 1 : 0));
          const bins = calibrationBins(p, y);
          const shuffled = calibrationBins(
            order.map((i) => p[i]!),
            order.map((i) => y[i]!),
          );
          expect(shuffled).toEqual(bins);
          const total = bins.reduce((sum, bin) => sum + bin.count * bin.observed, 0);
          expect(total).toBeCloseTo(
            y.reduce<number>((sum, value) => sum + value, 0),
            10,
          );
        },
      ),
    );
  });
});

describe('expectedCalibrationError', () => {
  test('worked by hand: ten records of 0.25, four of them positive, err by 0.15', () => {
    const p = new Array<number>(10).fill(0.25);
    expect(expectedCalibrationError(twoClasses(p), [1, 0, 1, 0, 0, 1, 0, 0, 1, 0], 2)).toBeCloseTo(0.15, 14);
  });

  test('worked by hand: twenty records in ten pairs', () => {
    // Pair b has probabilities b/10 + 0.02 and b/10 + 0.04, mean b/10 + 0.03, and outcomes 1 in the upper five pairs.
    const p = Array.from({ length: 20 }, (_, i) => Math.floor(i / 2) / 10 + 0.02 + 0.02 * (i % 2));
    const labels = p.map((_, i) => (i < 10 ? 0 : 1));
    const lower = [0, 1, 2, 3, 4].map((b) => b / 10 + 0.03);
    const upper = [5, 6, 7, 8, 9].map((b) => 1 - (b / 10 + 0.03));
    const expected = [...lower, ...upper].reduce((sum, gap) => sum + gap, 0) / 10;
    expect(expectedCalibrationError(twoClasses(p), labels, 2)).toBeCloseTo(expected, 12);
  });

  test('sure and right is 0, sure and wrong is 1; of no records it is null', () => {
    expect(expectedCalibrationError(twoClasses([1, 0, 1, 0]), [1, 0, 1, 0], 2)).toBe(0);
    expect(expectedCalibrationError(twoClasses([1, 0, 1, 0]), [0, 1, 0, 1], 2)).toBe(1);
    expect(expectedCalibrationError([], [], 2)).toBeNull();
  });

  test('with more classes it is about the largest probability', () => {
    // 0.6 and right, 0.5 and wrong: each its own bin.
    const p = [0.6, 0.3, 0.1, 0.2, 0.5, 0.3];
    expect(expectedCalibrationError(p, [0, 2], 3)).toBeCloseTo((0.4 + 0.5) / 2, 14);
  });
});
