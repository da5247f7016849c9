// Which of two epochs is better, by validation alone (SEMANTICS: `select: best-val`).

import type { ClassificationMetrics } from './classification.ts';
import type { RegressionMetrics } from './regression.ts';

/** The figures of a part, of either kind of study. */
export type Metrics = ClassificationMetrics | RegressionMetrics;

/**
 * Whether `candidate`, a later epoch's validation figures, beats `best`: a higher AUC, or a lower RMSE. Where either has no AUC, a lower
 * loss. Equal figures do not beat, so the earliest stays; what is null or not a number never beats.
 */
export function isBetter(candidate: Metrics, best: Metrics | undefined): boolean {
  if (!best) return true;
  if ('rmse' in candidate && 'rmse' in best) return below(candidate.rmse, best.rmse);
  const area = 'auc' in candidate ? candidate.auc : null;
  const bestArea = 'auc' in best ? best.auc : null;
  if (area !== null && bestArea !== null) return area > bestArea;
  return below(candidate.loss, best.loss);
}

function below(value: number | null, other: number | null): boolean {
  if (value === null || Number.isNaN(value)) return false;
  return other === null || Number.isNaN(other) || value < other;
}
