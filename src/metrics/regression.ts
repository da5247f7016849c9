// A part's regression metrics as metrics.json shows them, in the target's unit (SEMANTICS: evaluation and selection).

import { assert, DataError } from '../base/index.ts';
import { meanLoss, squaredErrors, squaredLogErrors } from './losses.ts';

export interface RegressionInput {
  readonly predictions: ArrayLike<number>;
  readonly targets: ArrayLike<number>;
  /** Each record's training loss (in standardised units, say); without them the squared error in the target's unit. */
  readonly losses?: ArrayLike<number>;
  /** Weights of the records in `loss`; no other figure uses them. */
  readonly weights?: ArrayLike<number>;
}

/** Null marks what is not defined for the records at hand. */
export interface RegressionMetrics {
  readonly n: number;
  readonly loss: number | null;
  /** Root of the mean squared error. */
  readonly rmse: number | null;
  /** Mean absolute error. */
  readonly mae: number | null;
  /** 1 - Σ(y - ŷ)²/Σ(y - mean y)²; null where all targets are equal. */
  readonly r2: number | null;
  /** Root of the mean of (log(1 + ŷ) - log(1 + y))²; null where a prediction or a target is below zero. */
  readonly rmsle: number | null;
  /** Records predicted below zero. */
  readonly nNegative: number;
}

/** All figures of one part of the data. Throws DataError when a prediction is not finite. */
export function regressionMetrics({ predictions, targets, losses, weights }: RegressionInput): RegressionMetrics {
  const n = targets.length;
  assert(predictions.length === n, `${predictions.length} predictions of ${n} records`);
  checkFinite(predictions);
  const nNegative = countBelowZero(predictions);
  const squares = squaredErrors(predictions, targets);
  const mse = meanLoss(squares);
  let absolute = 0;
  for (let i = 0; i < n; i++) absolute += Math.abs(predictions[i]! - targets[i]!);
  return {
    n,
    loss: meanLoss(losses ?? squares, weights),
    rmse: mse === null ? null : Math.sqrt(mse),
    mae: n === 0 ? null : absolute / n,
    r2: mse === null ? null : rSquared(mse * n, targets),
    rmsle: n === 0 || nNegative + countBelowZero(targets) > 0 ? null : rootMeanSquaredLogError(predictions, targets),
    nNegative,
  };
}

/** What a site tells of a part whose targets stay with it: enough for the overall figures, and nothing of single records. */
export interface SiteRegression {
  readonly metrics: RegressionMetrics;
  /** Mean of the targets and Σ(y - mean)², for R2 over all sites. */
  readonly targetMean: number;
  readonly targetSquares: number;
}

/** A site's part of `pooledRegressionMetrics`. */
export function siteRegression(input: RegressionInput): SiteRegression {
  const { mean, squares } = spread(input.targets);
  return { metrics: regressionMetrics(input), targetMean: mean, targetSquares: squares };
}

/** The overall figures of sites whose targets stay; the same, to rounding, as of the pooled records. */
export function pooledRegressionMetrics(sites: readonly SiteRegression[]): RegressionMetrics {
  const parts = sites.filter((site) => site.metrics.n > 0);
  const n = parts.reduce((sum, { metrics }) => sum + metrics.n, 0);
  const mean = (value: (metrics: RegressionMetrics) => number | null): number | null => {
    if (n === 0) return null;
    let sum = 0;
    for (const { metrics } of parts) {
      const one = value(metrics);
      if (one === null) return null;
      sum += one * metrics.n;
    }
    return sum / n;
  };
  const square = (value: number | null) => (value === null ? null : value * value);
  const root = (value: number | null) => (value === null ? null : Math.sqrt(value));
  const mse = mean(({ rmse }) => square(rmse));
  // Σ(y - mean)² over all is the sites' own plus that of their means.
  const first = parts[0]?.targetMean ?? 0;
  const overallMean = first + parts.reduce((sum, part) => sum + (part.targetMean - first) * part.metrics.n, 0) / n;
  const total = parts.reduce(
    (sum, part) => sum + part.targetSquares + part.metrics.n * (part.targetMean - overallMean) ** 2,
    0,
  );
  return {
    n,
    loss: mean(({ loss }) => loss),
    rmse: root(mse),
    mae: mean(({ mae }) => mae),
    r2: mse === null || total === 0 ? null : 1 - (mse * n) / total,
    rmsle: root(mean(({ rmsle }) => square(rmsle))),
    nNegative: parts.reduce((sum, { metrics }) => sum + metrics.nNegative, 0),
  };
}

function rootMeanSquaredLogError(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  return Math.sqrt(meanLoss(squaredLogErrors(predictions, targets))!);
}

function rSquared(residualSquares: number, targets: ArrayLike<number>): number | null {
  const { squares } = spread(targets);
  return squares === 0 ? null : 1 - residualSquares / squares;
}

/** Mean and Σ(y - mean)², in two passes. The first value is taken off before adding, so that equal values give exactly 0. */
function spread(values: ArrayLike<number>): { mean: number; squares: number } {
  const first = values[0] ?? 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! - first;
  const mean = values.length === 0 ? 0 : first + sum / values.length;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2;
  return { mean, squares };
}

function countBelowZero(values: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! < 0) count++;
  return count;
}

function checkFinite(predictions: ArrayLike<number>): void {
  let wrong = 0;
  for (let i = 0; i < predictions.length; i++) if (!Number.isFinite(predictions[i])) wrong++;
  if (wrong > 0) {
    throw new DataError(
      'bad-data',
      `${wrong} of ${predictions.length} predictions are not finite: the network has probably diverged; try a lower learning rate`,
    );
  }
}
