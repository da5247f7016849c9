import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { randomStream } from '../base/index.ts';
import { macroAuc, rocAuc } from './auc.ts';
import golden from './golden/metrics.json' with { type: 'json' };
import { sigmoidProbabilities, softmaxProbabilities } from './losses.ts';
import { rocCurve } from './roc-curve.ts';

/** Scores with many ties, at least two positives and two negatives. */
const scored = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.boolean(), fc.integer({ min: 0, max: 9 })), {
    minLength: 4,
    maxLength: 40,
  })
  .filter((records) => {
    const positives = records.filter(([, positive]) => positive).length;
    return positives >= 2 && records.length - positives >= 2;
  })
  .map((records) => ({
    scores: records.map(([score]) => score),
    positive: records.map(([, positive]) => (positive ? 1 : 0)),
    groups: records.map(([, , group]) => group),
  }));

describe('rocAuc', () => {
  test('counts pairs, ties by half: worked by hand', () => {
    // Positives 3 and 2, negatives 2 and 1: pairs 3>2, 3>1, 2=2, 2>1 give 3.5 of 4.
    // V10 = (1, 0.75), V01 = (0.75, 1): both variances 0.03125, so the variance is 0.03125/2 + 0.03125/2.
    const { auc, aucLow, aucHigh } = rocAuc([3, 2, 2, 1], [1, 1, 0, 0]);
    expect(auc).toBe(0.875);
    expect(aucLow).toBeCloseTo(0.875 - 1.959963984540054 * Math.sqrt(0.03125), 14);
    expect(aucHigh).toBe(1);
  });

  test('gives the area of the ratings of Hanley and McNeil 1982, table I', () => {
    // 58 normal and 51 abnormal CT images, rated 1 (definitely normal) to 5; the authors give 0.893.
    const normal = [33, 6, 6, 11, 2];
    const abnormal = [3, 2, 2, 11, 33];
    const spread = (counts: number[]) => counts.flatMap((count, rating) => new Array<number>(count).fill(rating + 1));
    const scores = [...spread(normal), ...spread(abnormal)];
    const { auc, aucLow, aucHigh } = rocAuc(
      scores,
      scores.map((_, i) => (i < 58 ? 0 : 1)),
    );
    expect(auc).toBeCloseTo(0.893, 3);
    // Their standard error is 0.032 under another model; DeLong's must be near it.
    const standardError = (auc! - aucLow!) / 1.959963984540054;
    expect(Math.abs(standardError - 0.032)).toBeLessThan(0.003);
    expect(aucHigh! - auc!).toBeCloseTo(auc! - aucLow!, 14);
  });

  test.each(golden.binary)('equals the definitions by double loop, DeLong and Obuchowski (case %#)', (sample) => {
    const scores = sample.logits;
    expectClose(rocAuc(scores, sample.labels), sample.delong);
    expectClose(rocAuc(scores, sample.labels, sample.groups), sample.clustered);
    const p = sigmoidProbabilities(scores);
    expectClose(
      rocAuc(
        scores.map((_, i) => p[2 * i + 1]!),
        sample.labels,
        sample.groups,
      ),
      sample.clustered,
    );
  });

  test('is null where a class is missing, and has no interval where fewer than two groups hold a class', () => {
    const none = { auc: null, aucLow: null, aucHigh: null };
    expect(rocAuc([], [])).toEqual(none);
    expect(rocAuc([1, 2], [1, 1])).toEqual(none);
    expect(rocAuc([1, 2], [0, 0])).toEqual(none);
    expect(rocAuc([1, 2, 3], [0, 0, 1])).toEqual({ ...none, auc: 1 });
    expect(rocAuc([1, 2, 4, 3], [0, 0, 1, 1], [1, 2, 3, 3])).toEqual({ ...none, auc: 1 });
    expect(rocAuc([1, 2, 4, 3], [0, 0, 1, 1], [1, 2, 3, 4])).toEqual({ auc: 1, aucLow: 1, aucHigh: 1 });
  });

  test('depends only on the order of scores; turning them round, or the labels, gives 1 - auc', () => {
    fc.assert(
      fc.property(scored, ({ scores, positive, groups }) => {
        const area = rocAuc(scores, positive, groups);
        const stretched = scores.map((score) => Math.exp(score) - 100);
        expect(rocAuc(stretched, positive, groups)).toEqual(area);
        const turned = rocAuc(
          scores.map((score) => -score),
          positive,
          groups,
        );
        const swapped = rocAuc(
          scores,
          positive.map((y) => 1 - y),
          groups,
        );
        for (const other of [turned, swapped]) {
          expect(other.auc).toBeCloseTo(1 - area.auc!, 12);
          if (area.aucLow !== null) expect(other.aucLow).toBeCloseTo(1 - area.aucHigh!, 12);
        }
      }),
    );
  });

  test('does not depend on the order of records or the names of groups', () => {
    fc.assert(
      fc.property(scored, fc.nat(), ({ scores, positive, groups }, seed) => {
        const order = [...randomStream(seed, 'test').permutation(scores.length)];
        const pick = (values: number[]) => order.map((i) => values[i]!);
        const area = rocAuc(scores, positive, groups);
        const other = rocAuc(
          pick(scores),
          pick(positive),
          pick(groups).map((group) => 1e6 - 3 * group),
        );
        expectClose(other, [area.auc, area.aucLow, area.aucHigh]);
      }),
    );
  });

  test('repeating every record within its group changes nothing; as if independent it would narrow the interval', () => {
    fc.assert(
      fc.property(scored, fc.integer({ min: 2, max: 5 }), ({ scores, positive }, copies) => {
        const repeat = (values: number[]) => values.flatMap((value) => new Array<number>(copies).fill(value));
        const groups = repeat(scores.map((_, i) => i));
        const area = rocAuc(scores, positive);
        expectClose(rocAuc(repeat(scores), repeat(positive), groups), [area.auc, area.aucLow, area.aucHigh]);
        const narrow = rocAuc(repeat(scores), repeat(positive));
        expect(narrow.aucHigh! - narrow.aucLow!).toBeLessThanOrEqual(area.aucHigh! - area.aucLow! + 1e-12);
      }),
    );
  });

  test('the clustered interval covers the true area about 95 times in 100, the unclustered one far less', () => {
    // Groups of eight records share a strong effect. True area: P(N(d, 1+s²) > N(0, 1+s²)) across groups; labels vary by group.
    const groupCount = 60;
    const size = 8;
    const shift = 1.5;
    const truth = 0.7735; // Φ(1.5/sqrt(2·(1 + 1))) for a group effect of variance 1
    let clustered = 0;
    let unclustered = 0;
    const studies = 300;
    for (let study = 0; study < studies; study++) {
      const noise = randomStream(11, 'coverage');
      const scores: number[] = [];
      const positive: number[] = [];
      const groups: number[] = [];
      for (let g = 0; g < groupCount; g++) {
        const effect = noise.normal(g * (size + 1), study);
        for (let r = 0; r < size; r++) {
          positive.push(g % 2);
          groups.push(g);
          scores.push(shift * (g % 2) + effect + noise.normal(g * (size + 1) + 1 + r, study));
        }
      }
      const covers = ({ aucLow, aucHigh }: { aucLow: number | null; aucHigh: number | null }) =>
        aucLow! <= truth && truth <= aucHigh!;
      if (covers(rocAuc(scores, positive, groups))) clustered++;
      if (covers(rocAuc(scores, positive))) unclustered++;
    }
    expect(clustered / studies).toBeGreaterThan(0.9);
    expect(unclustered / studies).toBeLessThan(0.75);
  });
});

describe('macroAuc', () => {
  test.each(golden.multiclass)('equals the definition by loops (case %#)', (sample) => {
    const p = softmaxProbabilities(sample.logits, sample.classCount);
    expectClose(macroAuc(p, sample.labels, sample.classCount, sample.groups), sample.macro);
  });

  test('with two classes it is the area of either', () => {
    const p = sigmoidProbabilities([2, -1, 0.5, -2, 0.1, 0.5]);
    const labels = [1, 0, 1, 0, 0, 0];
    const area = rocAuc(
      labels.map((_, i) => p[2 * i + 1]!),
      labels,
    );
    expect(macroAuc(p, labels, 2).auc).toBeCloseTo(area.auc!, 14);
  });

  test('is null where a class is missing', () => {
    expect(macroAuc(softmaxProbabilities([1, 2, 3, 3, 2, 1], 3), [0, 1], 3).auc).toBeNull();
  });
});

describe('rocCurve', () => {
  test('the area under its straight lines is the area; it runs from (0, 0) to (1, 1)', () => {
    fc.assert(
      fc.property(scored, ({ scores, positive }) => {
        const points = rocCurve(scores, positive);
        let area = 0;
        for (let i = 1; i < points.length; i++) {
          const [from, to] = [points[i - 1]!, points[i]!];
          area += ((to.falsePositiveRate - from.falsePositiveRate) * (to.truePositiveRate + from.truePositiveRate)) / 2;
          expect(to.threshold).toBeLessThan(from.threshold);
        }
        expect(area).toBeCloseTo(rocAuc(scores, positive).auc!, 12);
        expect(points[0]).toMatchObject({ falsePositiveRate: 0, truePositiveRate: 0 });
        expect(points.at(-1)).toMatchObject({ falsePositiveRate: 1, truePositiveRate: 1 });
      }),
    );
  });

  test('is empty where a class is missing', () => {
    expect(rocCurve([1, 2], [1, 1])).toEqual([]);
  });
});

function expectClose(area: ReturnType<typeof rocAuc>, expected: readonly (number | null)[]): void {
  const values = [area.auc, area.aucLow, area.aucHigh];
  for (const [i, value] of values.entries()) {
    const other = expected[i] ?? null;
    if (value === null || other === null) expect(value).toBe(other);
    else expect(value).toBeCloseTo(other, 10);
  }
}
