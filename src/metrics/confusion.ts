// Counts of decisions, and the rates that follow from them.

/** Records by true class (row) and decided class (column). */
export type ConfusionMatrix = readonly (readonly number[])[];

/**
 * Decides a class for each record. Two classes: `positive` where its probability is at least `threshold`, else the other. More: the
 * most probable, the first of equals. `probabilities` is `[n, classCount]` row-major.
 */
export function decideClasses(
  probabilities: ArrayLike<number>,
  classCount: number,
  positive = 1,
  threshold = 0.5,
): Int32Array<ArrayBuffer> {
  const decided = new Int32Array(probabilities.length / classCount);
  for (let i = 0; i < decided.length; i++) {
    const at = i * classCount;
    if (classCount === 2) {
      decided[i] = probabilities[at + positive]! >= threshold ? positive : 1 - positive;
      continue;
    }
    let best = 0;
    for (let c = 1; c < classCount; c++) if (probabilities[at + c]! > probabilities[at + best]!) best = c;
    decided[i] = best;
  }
  return decided;
}

export function confusionMatrix(
  labels: ArrayLike<number>,
  decided: ArrayLike<number>,
  classCount: number,
): ConfusionMatrix {
  const matrix = Array.from({ length: classCount }, () => new Array<number>(classCount).fill(0));
  for (let i = 0; i < labels.length; i++) matrix[labels[i]!]![decided[i]!]! += 1;
  return matrix;
}

/** The sum of matrices of one size. */
export function addConfusions(matrices: readonly ConfusionMatrix[]): ConfusionMatrix {
  const [first, ...rest] = matrices;
  if (!first) return [];
  return first.map((row, r) => row.map((count, c) => rest.reduce((sum, other) => sum + other[r]![c]!, count)));
}

/** Rates of a confusion matrix; null where there is nothing to divide by. */
export interface DecisionRates {
  /** Right decisions over all. */
  readonly accuracy: number | null;
  /** Positives found over positives: TP/(TP + FN). */
  readonly sensitivity: number | null;
  /** Negatives found over negatives: TN/(TN + FP). */
  readonly specificity: number | null;
  /** 2·TP/(2·TP + FP + FN). */
  readonly f1: number | null;
}

/** Two classes: of `positive`. More: the mean over the classes, one against the rest; null where a class has none. */
export function decisionRates(matrix: ConfusionMatrix, positive = 1): DecisionRates {
  const classCount = matrix.length;
  const total = matrix.flat().reduce((sum, count) => sum + count, 0);
  const right = matrix.reduce((sum, row, c) => sum + row[c]!, 0);
  const classes = classCount === 2 ? [positive] : matrix.map((_, c) => c);
  const mean = (rate: (c: number) => number | null): number | null => {
    let sum = 0;
    for (const c of classes) {
      const value = rate(c);
      if (value === null) return null;
      sum += value;
    }
    return sum / classes.length;
  };
  const truePositives = (c: number) => matrix[c]![c]!;
  const labelled = (c: number) => matrix[c]!.reduce((sum, count) => sum + count, 0);
  const decided = (c: number) => matrix.reduce((sum, row) => sum + row[c]!, 0);
  return {
    accuracy: ratio(right, total),
    sensitivity: mean((c) => ratio(truePositives(c), labelled(c))),
    specificity: mean((c) => ratio(total - labelled(c) - decided(c) + truePositives(c), total - labelled(c))),
    f1: mean((c) => ratio(2 * truePositives(c), labelled(c) + decided(c))),
  };
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
