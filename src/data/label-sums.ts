// What a site's labels add to the pool.

import { columnSums, type ColumnSums } from './pooling.ts';
import { recordOfParts, type Part, type Records } from './records.ts';

/** Records of each class in each part; one number for regression. */
export function classCounts(
  records: Readonly<Record<Part, Records>>,
  classes: readonly string[] | null,
): Record<Part, number[]> {
  return recordOfParts((part) => {
    const { labels, count } = records[part];
    if (classes === null) return [count];
    const counts = classes.map(() => 0);
    for (const label of labels) counts[label]! += 1;
    return counts;
  });
}

/** The sums of the regression target over the training part, in its unit; no column for classes. */
export function targetSums(train: Records, classes: readonly string[] | null): ColumnSums {
  if (classes !== null) return columnSums([], 0);
  return columnSums(
    Array.from(train.labels, (label) => [label]),
    1,
  );
}
