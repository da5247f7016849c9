import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rocAuc } from './auc.ts';
import { addHistograms, classHistograms, histogramAuc, histogramBins, scoreHistogram } from './score-histogram.ts';

describe('scoreHistogram', () => {
  test('a score at a bin edge opens the next bin; 1 falls into the last', () => {
    const { positive, negative } = scoreHistogram([0, 0.001, 0.5, 0.9995, 1], [1, 0, 1, 1, 1]);
    expect(negative[1]).toBe(1);
    expect([positive[0], positive[500], positive[999]]).toEqual([1, 1, 2]);
    expect(positive.length).toBe(histogramBins);
  });

  test('refuses a score outside 0 … 1', () => {
    expect(() => scoreHistogram([1.01], [1])).toThrow('internal');
    expect(() => scoreHistogram([Number.NaN], [1])).toThrow('internal');
  });
});

describe('histogramAuc', () => {
  test("gives Hanley and McNeil's standard error: their example of 1982, A = 0.893, 51 abnormal, 58 normal, SE 0.032", () => {
    const spread = (counts: number[]) => counts.flatMap((count, rating) => new Array<number>(count).fill(rating / 5));
    const scores = [...spread([33, 6, 6, 11, 2]), ...spread([3, 2, 2, 11, 33])];
    const { auc, aucLow, aucHigh } = histogramAuc([
      scoreHistogram(
        scores,
        scores.map((_, i) => (i < 58 ? 0 : 1)),
      ),
    ]);
    expect(auc).toBeCloseTo(0.893, 3);
    expect((auc! - aucLow!) / 1.959963984540054).toBeCloseTo(0.0325, 4);
    expect(aucHigh! - auc!).toBeCloseTo(auc! - aucLow!, 14);
  });

  test('equals the exact area when scores are bin centres, and added over sites', () => {
    const record = fc.tuple(fc.integer({ min: 0, max: 999 }), fc.boolean(), fc.integer({ min: 0, max: 2 }));
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), (records) => {
        const scores = records.map(([bin]) => (bin + 0.5) / 1000);
        const positive = records.map(([, y]) => (y ? 1 : 0));
        const exact = rocAuc(scores, positive).auc;
        const sites = [0, 1, 2].map((site) => {
          const own = records.map((_, i) => i).filter((i) => records[i]![2] === site);
          return scoreHistogram(
            own.map((i) => scores[i]!),
            own.map((i) => positive[i]!),
          );
        });
        const { auc } = histogramAuc([addHistograms(sites)]);
        if (exact === null) expect(auc).toBeNull();
        else expect(auc).toBeCloseTo(exact, 12);
      }),
    );
  });

  test('with more classes it is the mean of one against the rest; null where a class is missing', () => {
    const p = [0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.3, 0.3, 0.4, 0.5, 0.25, 0.25];
    const labels = [0, 1, 2, 2];
    // Class 0: {0.7} against {0.1, 0.3, 0.5}: 1. Class 1: {0.8} against the rest: 1. Class 2: {0.4, 0.25} against {0.1, 0.1}: 1.
    expect(histogramAuc(classHistograms(p, labels, 3)).auc).toBe(1);
    expect(histogramAuc(classHistograms(p, [0, 1, 1, 0], 3)).auc).toBeNull();
    expect(histogramAuc([]).auc).toBeNull();
    expect(classHistograms([0.2, 0.8], [1], 2)).toHaveLength(1);
  });
});
