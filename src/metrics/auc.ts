// The area under the ROC curve and its 95 % interval. The area is the probability that a positive record scores above a negative
// one, ties counting half. The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988); where a group (a patient)
// has several records, N. A. Obuchowski's for clustered data (Biometrics 53, 1997), which equals DeLong's for groups of one.

import { assert } from '../base/index.ts';

/** An area and its 95 % interval; null where it is not defined. */
export interface AucInterval {
  readonly auc: number | null;
  readonly aucLow: number | null;
  readonly aucHigh: number | null;
}

/** The normal distribution's 0.975 quantile. */
export const normal975 = 1.959963984540054;

const undefinedAuc: AucInterval = { auc: null, aucLow: null, aucHigh: null };

/**
 * The area for `scores[i]`, finite, of records that are positive where `positive[i]` is not 0, with its interval clustered by
 * `groups[i]` (any numbers; without them each record is its own group). The interval is auc ± 1.96·sqrt(variance), cut at 0 and 1, as
 * DeLong's is usually given; it has no width where the classes are separated perfectly. All null where a class is missing; the
 * interval is null where fewer than two groups hold a class.
 */
export function rocAuc(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  groups?: ArrayLike<number>,
): AucInterval {
  const { groupOf, groupCount } = compactGroups(scores.length, groups);
  const parts = influence(scores, positive, groupOf, groupCount);
  if (!parts) return undefinedAuc;
  const { auc, fromPositives, fromNegatives, positiveGroups, negativeGroups } = parts;
  if (positiveGroups < 2 || negativeGroups < 2) return { ...undefinedAuc, auc };
  // Obuchowski's S10/M, S01/N and S11/(MN), with d10 = (V10(group) - m·auc)/M and d01 alike:
  // I10/(I10 - 1)·Σ d10² + I01/(I01 - 1)·Σ d01² + 2·I/(I - 1)·Σ d10·d01
  let squares10 = 0;
  let squares01 = 0;
  let products = 0;
  for (let g = 0; g < groupCount; g++) {
    squares10 += fromPositives[g]! ** 2;
    squares01 += fromNegatives[g]! ** 2;
    products += fromPositives[g]! * fromNegatives[g]!;
  }
  const variance =
    (positiveGroups / (positiveGroups - 1)) * squares10 +
    (negativeGroups / (negativeGroups - 1)) * squares01 +
    2 * (groupCount / (groupCount - 1)) * products;
  return { auc, ...intervalOf(auc, variance) };
}

/**
 * The mean over classes of the area of one class against the rest. `probabilities` is `[n, classCount]` row-major, `labels` class
 * indices. Its interval takes each group's influence on the mean, and the variance is I/(I - 1) times the sum of their squares over
 * the I groups. Null as for `rocAuc`, where that holds for any class.
 */
export function macroAuc(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classCount: number,
  groups?: ArrayLike<number>,
): AucInterval {
  const count = labels.length;
  const { groupOf, groupCount } = compactGroups(count, groups);
  const scores = new Float64Array(count);
  const positive = new Uint8Array(count);
  const influences = new Float64Array(groupCount);
  let auc = 0;
  let hasInterval = true;
  for (let c = 0; c < classCount; c++) {
    for (let i = 0; i < count; i++) {
      scores[i] = probabilities[i * classCount + c]!;
      positive[i] = labels[i] === c ? 1 : 0;
    }
    const parts = influence(scores, positive, groupOf, groupCount);
    if (!parts) return undefinedAuc;
    auc += parts.auc / classCount;
    hasInterval &&= parts.positiveGroups >= 2 && parts.negativeGroups >= 2;
    for (let g = 0; g < groupCount; g++) {
      influences[g]! += (parts.fromPositives[g]! + parts.fromNegatives[g]!) / classCount;
    }
  }
  if (!hasInterval) return { ...undefinedAuc, auc };
  const squares = influences.reduce((sum, value) => sum + value * value, 0);
  return { auc, ...intervalOf(auc, (groupCount / (groupCount - 1)) * squares) };
}

/** auc ± 1.96·sqrt(variance), cut at 0 and 1. */
export function intervalOf(auc: number, variance: number): { readonly aucLow: number; readonly aucHigh: number } {
  const half = normal975 * Math.sqrt(variance);
  return { aucLow: Math.max(0, auc - half), aucHigh: Math.min(1, auc + half) };
}

/** What each group adds to the area's error, through its positive and its negative records; and how many groups hold each class. */
interface Influence {
  readonly auc: number;
  readonly fromPositives: Float64Array;
  readonly fromNegatives: Float64Array;
  readonly positiveGroups: number;
  readonly negativeGroups: number;
}

/** Undefined where a class is missing. */
function influence(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  groupOf: Int32Array,
  groupCount: number,
): Influence | undefined {
  const count = scores.length;
  assert(positive.length === count, `${count} scores but ${positive.length} labels`);
  let positives = 0;
  for (let i = 0; i < count; i++) if (positive[i]) positives++;
  const negatives = count - positives;
  if (positives === 0 || negatives === 0) return undefined;

  const placement = placements(scores, positive, positives, negatives);
  let auc = 0;
  for (let i = 0; i < count; i++) if (positive[i]) auc += placement[i]!;
  auc /= positives;

  const fromPositives = new Float64Array(groupCount);
  const fromNegatives = new Float64Array(groupCount);
  const holds = new Uint8Array(groupCount);
  for (let i = 0; i < count; i++) {
    const g = groupOf[i]!;
    if (positive[i]) fromPositives[g]! += (placement[i]! - auc) / positives;
    else fromNegatives[g]! += (placement[i]! - auc) / negatives;
    holds[g]! |= positive[i] ? 1 : 2;
  }
  let positiveGroups = 0;
  let negativeGroups = 0;
  for (const classes of holds) {
    positiveGroups += classes & 1;
    negativeGroups += classes >> 1;
  }
  return { auc, fromPositives, fromNegatives, positiveGroups, negativeGroups };
}

/** A positive's share of negatives below it, a negative's share of positives above it; ties count half (V10 and V01 of DeLong). */
function placements(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  positives: number,
  negatives: number,
): Float64Array {
  const order = ascending(scores);
  const placement = new Float64Array(order.length);
  let positivesBelow = 0;
  let negativesBelow = 0;
  for (let start = 0; start < order.length;) {
    let end = start;
    let positivesTied = 0;
    while (end < order.length && scores[order[end]!] === scores[order[start]!]) {
      if (positive[order[end]!]) positivesTied++;
      end++;
    }
    const negativesTied = end - start - positivesTied;
    const ofPositive = (negativesBelow + negativesTied / 2) / negatives;
    const ofNegative = (positives - positivesBelow - positivesTied / 2) / positives;
    for (let at = start; at < end; at++) placement[order[at]!] = positive[order[at]!] ? ofPositive : ofNegative;
    positivesBelow += positivesTied;
    negativesBelow += negativesTied;
    start = end;
  }
  return placement;
}

/** The indices of finite values in ascending order; equal values by index. */
export function ascending(values: ArrayLike<number>): Int32Array {
  const order = Int32Array.from({ length: values.length }, (_, i) => i);
  return order.sort((a, b) => values[a]! - values[b]! || a - b);
}

/** Group numbers as 0 … groupCount - 1, by first appearance. */
function compactGroups(count: number, groups?: ArrayLike<number>): { groupOf: Int32Array; groupCount: number } {
  if (!groups) return { groupOf: Int32Array.from({ length: count }, (_, i) => i), groupCount: count };
  assert(groups.length === count, `${count} scores but ${groups.length} groups`);
  const numbers = new Map<number, number>();
  const groupOf = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const group = groups[i]!;
    const number = numbers.get(group) ?? numbers.size;
    numbers.set(group, number);
    groupOf[i] = number;
  }
  return { groupOf, groupCount: numbers.size };
}
