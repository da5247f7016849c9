// What a site says of its data before training: how many records of each part and class, and the sums that standardise columns.

import type { OpenedData, ColumnSums } from '../data/index.ts';
import { classCountOf, partNames, type Plan } from '../protocol/index.ts';
import { type Tensor, zeros } from '../tensor/index.ts';

/** The census message's tensors. */
export function censusOf(data: OpenedData, plan: Plan): Record<string, Tensor> {
  const classCount = classCountOf(plan);
  const counts = zeros('int32', [3]);
  const classes = zeros('int32', [3, classCount]);
  const ofPart = data.pooling.classCounts();
  partNames.forEach((part, place) => {
    counts.data[place] = data.parts[part].count;
    classes.data.set(ofPart[part].slice(0, classCount), place * classCount);
  });
  const { inputs, target } = data.pooling.sums();
  const sums = zeros('float64', [plan.standardisedColumns + 1, 3]);
  fill(sums, 0, inputs);
  fill(sums, plan.standardisedColumns, target);
  return { counts, classes, sums };
}

function fill(sums: Tensor<'float64'>, firstColumn: number, values: ColumnSums): void {
  values.counts.forEach((count, index) => {
    sums.data.set([count, values.sums[index] ?? 0, values.squares[index] ?? 0], 3 * (firstColumn + index));
  });
}
