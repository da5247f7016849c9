// Mean and standard deviation from federated sums: the one formula by which server and sites standardise.

/** Moments of the values that `count`, `sum` and `squares` (the sum of squares) describe. */
export interface Moments {
  /** 0 where there are no values. */
  readonly mean: number;
  /** Of the population (divided by the count); 1 where there are no values or all are the same. */
  readonly sd: number;
  readonly constant: boolean;
}

/** Mean and standard deviation, float64. */
export function meanAndSd(count: number, sum: number, squares: number): Moments {
  if (count === 0) return { mean: 0, sd: 1, constant: true };
  const mean = sum / count;
  const variance = squares / count - mean ** 2;
  // Rounding leaves a variance of about 1e-16 of the mean's square where all values are the same.
  if (variance > 1e-12 * mean ** 2 && variance > 0) return { mean, sd: Math.sqrt(variance), constant: false };
  return { mean, sd: 1, constant: true };
}
