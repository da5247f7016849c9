// The ROC curve itself, for a report's figure.

import { ascending } from './auc.ts';

/** At a threshold: the share of negatives and of positives that score at least that much. */
export interface RocPoint {
  readonly threshold: number;
  readonly falsePositiveRate: number;
  readonly truePositiveRate: number;
}

/**
 * One point for each distinct score, from the highest to the lowest, after (0, 0) at infinity. `positive[i]` is not 0 for positive
 * records. The area under the straight lines between points is `rocAuc`. Empty where a class is missing.
 */
export function rocCurve(scores: ArrayLike<number>, positive: ArrayLike<number>): RocPoint[] {
  let positives = 0;
  for (let i = 0; i < scores.length; i++) if (positive[i]) positives++;
  const negatives = scores.length - positives;
  if (positives === 0 || negatives === 0) return [];
  const order = ascending(scores);
  const points: RocPoint[] = [{ threshold: Infinity, falsePositiveRate: 0, truePositiveRate: 0 }];
  let found = 0;
  let alarms = 0;
  for (let at = order.length - 1; at >= 0; at--) {
    const score = scores[order[at]!]!;
    if (positive[order[at]!]) found++;
    else alarms++;
    if (at > 0 && scores[order[at - 1]!] === score) continue;
    points.push({ threshold: score, falsePositiveRate: alarms / negatives, truePositiveRate: found / positives });
  }
  return points;
}
