// What all parties know of the pooled data before training: counts, standardisation, class weights (SEMANTICS.md, "Data and dealing").

import type { ColumnSums, OpenedData } from '../../src/data/index.ts';
import type { Plan } from '../../src/protocol/index.ts';
import { float32, type Tensor } from '../../src/tensor/index.ts';

export interface PoolFacts {
  /** Training records of each site, and of all that are there as the study begins. */
  readonly counts: readonly number[];
  readonly total: number;
  /** Mean and standard deviation of the regression target, float32 [2]. */
  readonly target: Tensor;
  /** The weight of each class in the loss. */
  readonly classWeights: readonly number[];
}

/** Adds up the sums of the sites that are there as the study begins, in their order, and standardises every site's inputs by the total. */
export function poolFacts(
  plan: Plan,
  data: readonly OpenedData[],
  founders: readonly number[] = [...data.keys()],
): PoolFacts {
  const there = founders.map((site) => data[site] as OpenedData);
  const sums = there.map((site) => site.pooling.sums());
  const inputs = meanAndSd(sums.map((site) => site.inputs));
  for (const site of data) site.pooling.setStandardisation(inputs);
  const target = meanAndSd(sums.map((site) => site.target));
  const total = there.reduce((sum, { parts }) => sum + parts.train.count, 0);
  return {
    counts: data.map(({ parts }) => parts.train.count),
    total,
    target: float32([target.mean[0] ?? 0, target.sd[0] ?? 1]),
    classWeights: classWeights(plan, there, total),
  };
}

function meanAndSd(sites: readonly ColumnSums[]): { mean: number[]; sd: number[] } {
  const columns = sites[0]?.counts.length ?? 0;
  const mean: number[] = [];
  const sd: number[] = [];
  for (let column = 0; column < columns; column++) {
    let [count, sum, squares] = [0, 0, 0];
    for (const site of sites) {
      count += site.counts[column] as number;
      sum += site.sums[column] as number;
      squares += site.squares[column] as number;
    }
    mean.push(sum / count);
    sd.push(Math.sqrt(squares / count - (sum / count) ** 2));
  }
  return { mean, sd };
}

/** All 1, or in inverse proportion to the class's training records, with a mean of 1 over the records. */
function classWeights(plan: Plan, data: readonly OpenedData[], total: number): number[] {
  const classes = plan.task.kind === 'classification' ? plan.task.classes.length : 1;
  if (plan.training.classWeights === 'none') return new Array<number>(classes).fill(1);
  const counts = Array.from({ length: classes }, (_, index) =>
    data.reduce((sum, site) => sum + site.parts.train.labels.filter((label) => label === index).length, 0),
  );
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count === 0 ? 0 : total / (present * count)));
}
