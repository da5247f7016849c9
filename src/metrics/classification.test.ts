import { describe, expect, test } from 'vitest';
import { classificationMetrics, pooledClassificationMetrics } from './classification.ts';
import { confusionMatrix, decideClasses, decisionRates } from './confusion.ts';
import golden from './golden/metrics.json' with { type: 'json' };
import { binaryCrossEntropies, sigmoidProbabilities, softmaxCrossEntropies, softmaxProbabilities } from './losses.ts';
import { classHistograms } from './score-histogram.ts';

type Rates = (typeof golden.binary)[number]['expected'];

function expectRates(metrics: ReturnType<typeof classificationMetrics>, expected: Rates): void {
  for (const key of ['loss', 'accuracy', 'sensitivity', 'specificity', 'f1', 'brier', 'ece'] as const) {
    expect(metrics[key]).toBeCloseTo(expected[key], 12);
  }
  expect(metrics.confusion).toEqual(expected.confusion);
}

describe('classificationMetrics', () => {
  test.each(golden.binary)(
    'equals numpy with two classes (case %#)',
    ({ logits, labels, groups, threshold, expected, ...areas }) => {
      const input = { probabilities: sigmoidProbabilities(logits), labels, classCount: 2, groups, threshold };
      const metrics = classificationMetrics({ ...input, losses: binaryCrossEntropies(logits, labels) });
      expectRates(metrics, expected);
      expect(metrics.n).toBe(labels.length);
      expect(metrics.nGroups).toBe(new Set(groups).size);
      expect(metrics.aucInterval).toBe('clustered');
      expect(metrics.auc).toBeCloseTo(areas.clustered[0]!, 12);
      expect(metrics.aucLow).toBeCloseTo(areas.clustered[1]!, 12);
      expect(metrics.aucHigh).toBeCloseTo(areas.clustered[2]!, 12);
      // Without losses they come from the probabilities; without groups each record is its own.
      const { groups: _, ...ungrouped } = input;
      const other = classificationMetrics(ungrouped);
      expect(other.loss).toBeCloseTo(expected.loss, 12);
      expect(other.aucLow).toBeCloseTo(areas.delong[1]!, 12);
      expect(other.aucInterval).toBe('independent');
    },
  );

  test.each(golden.multiclass)(
    'equals numpy with more classes (case %#)',
    ({ logits, labels, groups, classCount, ...rest }) => {
      const metrics = classificationMetrics({
        probabilities: softmaxProbabilities(logits, classCount),
        labels,
        classCount,
        groups,
        losses: softmaxCrossEntropies(logits, labels, classCount),
      });
      expectRates(metrics, rest.expected);
      expect(metrics.auc).toBeCloseTo(rest.macro[0]!, 12);
      expect(metrics.aucLow).toBeCloseTo(rest.macro[1]!, 12);
    },
  );

  test('the positive class may be the first one', () => {
    const probabilities = [0.9, 0.1, 0.2, 0.8, 0.4, 0.6, 0.7, 0.3];
    const labels = [0, 1, 0, 1];
    const metrics = classificationMetrics({ probabilities, labels, classCount: 2, positive: 0 });
    // Class 0 scores 0.9, 0.4 (true) and 0.2, 0.7 (not): 3 of 4 pairs. At 0.5 it finds 1 of 2 and clears 1 of 2.
    expect(metrics).toMatchObject({ auc: 0.75, accuracy: 0.5, sensitivity: 0.5, specificity: 0.5, f1: 0.5 });
    expect(metrics.confusion).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test('weights change the loss and nothing else', () => {
    const input = { probabilities: [0.5, 0.5, 0.2, 0.8], labels: [0, 1], classCount: 2 };
    const plain = classificationMetrics(input);
    const weighted = classificationMetrics({ ...input, weights: [2, 0] });
    expect(weighted).toEqual({ ...plain, loss: Math.LN2 });
  });

  test('a site with one class has figures, and null where they are not defined', () => {
    const metrics = classificationMetrics({ probabilities: [0.5, 0.5, 0.8, 0.2], labels: [0, 0], classCount: 2 });
    expect(metrics).toMatchObject({ n: 2, auc: null, aucLow: null, aucHigh: null, aucInterval: null });
    expect(metrics).toMatchObject({ accuracy: 0.5, sensitivity: null, specificity: 0.5, f1: 0 });
  });

  test('of no records every figure is null', () => {
    const { n, nGroups, confusion, ...figures } = classificationMetrics({
      probabilities: [],
      labels: [],
      classCount: 2,
    });
    expect([n, nGroups]).toEqual([0, 0]);
    expect(confusion).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(new Set(Object.values(figures))).toEqual(new Set([null]));
  });

  test('refuses probabilities that are none, and counts them', () => {
    const input = { probabilities: [Number.NaN, 0.5, 1.5, -0.5], labels: [0, 1], classCount: 2 };
    expect(() => classificationMetrics(input)).toThrow(/3 of 4 probabilities .* diverged/);
  });
});

describe('decisions', () => {
  test('a probability at the threshold is positive; among equals of several classes the first wins', () => {
    expect([...decideClasses([0.6, 0.4, 0.61, 0.39], 2, 1, 0.4)]).toEqual([1, 0]);
    expect([...decideClasses([0.4, 0.4, 0.2, 0.1, 0.2, 0.7], 3)]).toEqual([0, 2]);
  });

  test('rates worked by hand: 8 of 10 found, 85 of 90 cleared', () => {
    const rates = decisionRates([
      [85, 5],
      [2, 8],
    ]);
    expect(rates).toEqual({ accuracy: 0.93, sensitivity: 0.8, specificity: 85 / 90, f1: 16 / 23 });
  });

  test('rows are true classes, columns decided ones', () => {
    expect(confusionMatrix([0, 0, 1], [1, 0, 1], 2)).toEqual([
      [1, 1],
      [0, 1],
    ]);
  });
});

describe('pooledClassificationMetrics', () => {
  test('equals the figures of the pooled records, the area to the width of a bin', () => {
    const { logits, labels } = golden.binary[0]!;
    const siteOf = (i: number) => (i < 10 ? 0 : i < 35 ? 1 : 2);
    const ofSite = (site: number | undefined) => {
      const own = labels.map((_, i) => i).filter((i) => site === undefined || siteOf(i) === site);
      const ownLogits = own.map((i) => logits[i]!);
      const ownLabels = own.map((i) => labels[i]!);
      const probabilities = sigmoidProbabilities(ownLogits);
      const losses = binaryCrossEntropies(ownLogits, ownLabels);
      return {
        metrics: classificationMetrics({ probabilities, labels: ownLabels, classCount: 2, losses }),
        histograms: classHistograms(probabilities, ownLabels, 2),
      };
    };
    const whole = ofSite(undefined).metrics;
    const empty = { metrics: classificationMetrics({ probabilities: [], labels: [], classCount: 2 }), histograms: [] };
    const pooled = pooledClassificationMetrics([empty, ofSite(0), ofSite(1), ofSite(2)]);
    expect(pooled).toMatchObject({ n: 60, nGroups: null, ece: null, aucInterval: 'unclustered' });
    expect(pooled.confusion).toEqual(whole.confusion);
    for (const key of ['loss', 'brier', 'accuracy', 'sensitivity', 'specificity', 'f1'] as const) {
      expect(pooled[key]).toBeCloseTo(whole[key]!, 12);
    }
    expect(Math.abs(pooled.auc! - whole.auc!)).toBeLessThan(1e-3);
    expect(pooled.aucLow).toBeLessThan(pooled.auc!);
  });

  test('of no records every figure is null', () => {
    expect(pooledClassificationMetrics([])).toMatchObject({ n: 0, auc: null, loss: null, accuracy: null, brier: null });
  });
});
