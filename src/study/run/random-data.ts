// Records of counted random numbers, for measuring speed: they are in memory, and there is nothing to learn from them.

import { randomStream } from '../../base/index.ts';
import { columnSums, type OpenedData, type Part, parts, type Records } from '../../data/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { elementCount, tensor } from '../../tensor/index.ts';

/** So many records are different; then they come again. */
const distinctMost = 128;

/** `count` training records for a site; no validation or test records. */
export function randomData(plan: Plan, site: number, count: number): OpenedData {
  const { inputDims } = plan.network;
  const width = elementCount(inputDims);
  const distinct = Math.min(count, distinctMost);
  const classes = plan.task.kind === 'classification' ? plan.task.classes.length : 0;
  const stream = randomStream(plan.seed, 'random records', [site]);
  const values = Float32Array.from({ length: distinct * width }, (_, element) => stream.normal(0, element));
  const labels = Float64Array.from({ length: count }, (_, row) => {
    const value = stream.uniform(1, row % distinct);
    return classes > 0 ? Math.floor(value * classes) : value;
  });
  const empty: Records = {
    count: 0,
    labels: new Float64Array(0),
    groups: new Int32Array(0),
    ids: [],
    load: () => Promise.reject(new TypeError('there are no such records')),
  };
  const train: Records = {
    count,
    labels,
    groups: Int32Array.from({ length: count }, (_, row) => row),
    ids: Array.from({ length: count }, (_, row) => `random-${row}`),
    load: (rows) => {
      const x = new Float32Array(rows.length * width);
      for (let row = 0; row < rows.length; row++) {
        const from = ((rows[row] ?? 0) % distinct) * width;
        x.set(values.subarray(from, from + width), row * width);
      }
      return Promise.resolve(tensor('float32', [rows.length, ...inputDims], x));
    },
  };
  const classCounts = (part: Part): number[] => {
    const counts = new Array<number>(Math.max(1, classes)).fill(0);
    if (part === 'train') for (const label of labels) counts[classes > 0 ? label : 0]! += 1;
    return counts;
  };
  const rows = Array.from({ length: distinct }, (_, row) => values.subarray(row * width, (row + 1) * width));
  const inputs = plan.standardisedColumns > 0 ? columnSums(rows, width) : columnSums([], 0);
  const target =
    classes > 0
      ? columnSums([], 0)
      : columnSums(
          Array.from(labels, (label) => [label]),
          1,
        );
  return {
    parts: { train, val: empty, test: empty },
    pooling: {
      sums: () => ({ inputs, target }),
      setStandardisation: () => {},
      classCounts: () => Object.fromEntries(parts.map((part) => [part, classCounts(part)])) as Record<Part, number[]>,
    },
    close: () => Promise.resolve(),
  };
}
