// The area under the ROC curve where labels stay at the sites: each site counts its scores in equal bins, the counts are added, and
// two scores in one bin count as a tie. The interval is that of J. A. Hanley and B. J. McNeil (Radiology 143, 1982), which treats
// every record as independent.

import { assert } from '../base/index.ts';
import { type AucInterval, intervalOf } from './auc.ts';

export const histogramBins = 1000;

/** Records by score, of one class (`positive`) and of all others; bin b holds scores from b/1000 to below (b + 1)/1000, the last one 1 too. */
export interface ScoreHistogram {
  readonly positive: Float64Array;
  readonly negative: Float64Array;
}

/** Counts scores 0 … 1 of records that are positive where `positive[i]` is not 0. */
export function scoreHistogram(scores: ArrayLike<number>, positive: ArrayLike<number>): ScoreHistogram {
  const histogram = { positive: new Float64Array(histogramBins), negative: new Float64Array(histogramBins) };
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    assert(score >= 0 && score <= 1, `score ${score} of a histogram`);
    const bin = Math.min(histogramBins - 1, Math.floor(score * histogramBins));
    histogram[positive[i] ? 'positive' : 'negative'][bin]! += 1;
  }
  return histogram;
}

/** One histogram a class against the rest, or one alone (of class `positive`) where there are two classes. `probabilities` is `[n, classCount]`. */
export function classHistograms(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classCount: number,
  positive = 1,
): ScoreHistogram[] {
  const classes = classCount === 2 ? [positive] : Array.from({ length: classCount }, (_, c) => c);
  return classes.map((c) =>
    scoreHistogram(
      Float64Array.from({ length: labels.length }, (_, i) => probabilities[i * classCount + c]!),
      Uint8Array.from({ length: labels.length }, (_, i) => (labels[i] === c ? 1 : 0)),
    ),
  );
}

/** The sum of histograms, bin by bin; the caller owns it. */
export function addHistograms(histograms: readonly ScoreHistogram[]): ScoreHistogram {
  const sum = { positive: new Float64Array(histogramBins), negative: new Float64Array(histogramBins) };
  for (const histogram of histograms) {
    for (const side of ['positive', 'negative'] as const) {
      for (let b = 0; b < histogramBins; b++) sum[side][b]! += histogram[side][b]!;
    }
  }
  return sum;
}

/**
 * The mean area over one or several classes' histograms, within half of the largest share of ties of the exact one.
 *
 * Hanley and McNeil: variance = (A(1 - A) + (n1 - 1)(Q1 - A²) + (n0 - 1)(Q2 - A²)) / (n1·n0), Q1 = A/(2 - A), Q2 = 2A²/(1 + A).
 * With several classes the interval is as wide as the mean of theirs, as if their errors went together. All null where a class is missing.
 */
export function histogramAuc(histograms: readonly ScoreHistogram[]): AucInterval {
  const areas = histograms.map(areaOf);
  let auc = 0;
  let standardError = 0;
  for (const area of areas) {
    if (!area) return { auc: null, aucLow: null, aucHigh: null };
    const { a, positives, negatives } = area;
    const q1 = a / (2 - a);
    const q2 = (2 * a * a) / (1 + a);
    const variance =
      (a * (1 - a) + (positives - 1) * (q1 - a * a) + (negatives - 1) * (q2 - a * a)) / (positives * negatives);
    auc += a / areas.length;
    standardError += Math.sqrt(Math.max(0, variance)) / areas.length; // zero at A = 1, where rounding may leave less
  }
  return areas.length === 0
    ? { auc: null, aucLow: null, aucHigh: null }
    : { auc, ...intervalOf(auc, standardError ** 2) };
}

function areaOf({
  positive,
  negative,
}: ScoreHistogram): { a: number; positives: number; negatives: number } | undefined {
  let negatives = 0;
  let positives = 0;
  let pairs = 0;
  for (let b = 0; b < histogramBins; b++) {
    pairs += positive[b]! * (negatives + negative[b]! / 2);
    negatives += negative[b]!;
    positives += positive[b]!;
  }
  if (positives === 0 || negatives === 0) return undefined;
  return { a: pairs / (positives * negatives), positives, negatives };
}
