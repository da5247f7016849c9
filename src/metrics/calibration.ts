// Whether a probability means what it says.

import { ascending } from './auc.ts';

/**
 * The Brier score. Two classes: the mean of (p - y)² of class `positive`, 0 … 1. More: the mean over records of the sum over classes of
 * (p - y)², 0 … 2 (G. W. Brier, Monthly Weather Review 78, 1950). `probabilities` is `[n, classCount]`. Null without records.
 */
export function brierScore(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classCount: number,
  positive = 1,
): number | null {
  if (labels.length === 0) return null;
  const [from, to] = classCount === 2 ? [positive, positive + 1] : [0, classCount];
  let sum = 0;
  for (let i = 0; i < labels.length; i++) {
    for (let c = from; c < to; c++) sum += (probabilities[i * classCount + c]! - (labels[i] === c ? 1 : 0)) ** 2;
  }
  return sum / labels.length;
}

/** A tenth of the records, by rising probability. */
export interface CalibrationBin {
  readonly count: number;
  readonly meanProbability: number;
  /** Mean outcome, 0 … 1. */
  readonly observed: number;
}

/**
 * Records sorted by probability and cut into `binCount` bins of equal count (bin b ends before floor((b + 1)·n/binCount); with fewer
 * records than bins the empty ones are left out). Records of equal probability each count with the mean outcome of all of them, so
 * that their order plays no part.
 */
export function calibrationBins(
  probability: ArrayLike<number>,
  outcome: ArrayLike<number>,
  binCount = 10,
): CalibrationBin[] {
  const count = probability.length;
  const order = ascending(probability);
  const shared = new Float64Array(count);
  for (let start = 0; start < count;) {
    let end = start;
    let sum = 0;
    while (end < count && probability[order[end]!] === probability[order[start]!]) sum += outcome[order[end++]!]!;
    shared.fill(sum / (end - start), start, end);
    start = end;
  }
  const bins: CalibrationBin[] = [];
  for (let b = 0; b < binCount; b++) {
    const start = Math.floor((b * count) / binCount);
    const end = Math.floor(((b + 1) * count) / binCount);
    if (start === end) continue;
    let probabilities = 0;
    let outcomes = 0;
    for (let at = start; at < end; at++) {
      probabilities += probability[order[at]!]!;
      outcomes += shared[at]!;
    }
    const size = end - start;
    bins.push({ count: size, meanProbability: probabilities / size, observed: outcomes / size });
  }
  return bins;
}

/**
 * The expected calibration error: Σ over ten equal-count bins of (records in the bin / n)·|mean outcome - mean probability|. Two classes:
 * of the probability of `positive`. More: of the largest probability, the outcome being that this class is right. Null without records.
 */
export function expectedCalibrationError(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classCount: number,
  positive = 1,
): number | null {
  const count = labels.length;
  if (count === 0) return null;
  const probability = new Float64Array(count);
  const outcome = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const at = i * classCount;
    let c = positive;
    if (classCount !== 2) {
      c = 0;
      for (let other = 1; other < classCount; other++)
        if (probabilities[at + other]! > probabilities[at + c]!) c = other;
    }
    probability[i] = probabilities[at + c]!;
    outcome[i] = labels[i] === c ? 1 : 0;
  }
  return calibrationBins(probability, outcome).reduce(
    (sum, bin) => sum + (bin.count / count) * Math.abs(bin.observed - bin.meanProbability),
    0,
  );
}
