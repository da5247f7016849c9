// Weights of the classes in the loss, fixed beforehand from the federated counts of the training part.

/**
 * The weight of each class: all 1, or (`balanced`) inversely proportional to its count, scaled so that the mean over the training
 * records is 1. A class without records has weight 0.
 */
export function classWeights(kind: 'none' | 'balanced', trainCounts: readonly number[]): readonly number[] {
  if (kind === 'none') return trainCounts.map(() => 1);
  const total = trainCounts.reduce((sum, count) => sum + count, 0);
  const present = trainCounts.filter((count) => count > 0).length;
  return trainCounts.map((count) => (count === 0 ? 0 : total / (present * count)));
}
