// Records made of counted random numbers, for tests of what happens to records rather than of learning. Images have flat regions, as CT
// slices do, so that max pooling meets ties.

import { randomStream } from '../../src/base/index.ts';
import {
  type Augmenting,
  columnSums,
  type OpenedData,
  type Part,
  type Records,
  type Standardisation,
} from '../../src/data/index.ts';
import { elementCount, tensor } from '../../src/tensor/index.ts';

export interface RecordSettings {
  readonly seed: number;
  readonly site: number;
  readonly counts: Readonly<Record<Part, number>>;
  /** `[columns]` or `[channels, height, width]`. */
  readonly dims: readonly number[];
  /** 0 for a regression target. */
  readonly classCount: number;
}

/** A site's records of that kind. */
export function randomRecords(settings: RecordSettings): OpenedData {
  const { dims, classCount } = settings;
  let standard: Standardisation = { mean: [], sd: [] };
  const width = elementCount(dims);
  const raw = Object.fromEntries(
    (['train', 'val', 'test'] as const).map((part, index) => [part, rawPart(settings, part, index)]),
  ) as Record<Part, { x: Float64Array; labels: Float64Array; groups: Int32Array }>;
  const recordsOf = (part: Part): Records => {
    const { x, labels, groups } = raw[part];
    return {
      count: labels.length,
      labels,
      groups,
      ids: Array.from(labels, (_, row) => `${part}/${row}`),
      load: async (rows, augmenting) => {
        const data = new Float32Array(rows.length * width);
        for (let i = 0; i < rows.length; i++) {
          for (let column = 0; column < width; column++) {
            const value = x[(rows[i] as number) * width + column] as number;
            data[i * width + column] =
              dims.length === 1 ? (value - (standard.mean[column] ?? 0)) / (standard.sd[column] ?? 1) : value;
          }
        }
        if (augmenting) augment(data, rows.length, augmenting);
        return tensor('float32', [rows.length, ...dims], data);
      },
    };
  };
  const table = dims.length === 1;
  const trainRows = Array.from(raw.train.labels, (_, row) => raw.train.x.subarray(row * width, (row + 1) * width));
  return {
    parts: { train: recordsOf('train'), val: recordsOf('val'), test: recordsOf('test') },
    pooling: {
      sums: () => ({
        inputs: columnSums(table ? trainRows : [], table ? width : 0),
        target: columnSums(
          classCount === 0 ? Array.from(raw.train.labels, (label) => [label]) : [],
          classCount === 0 ? 1 : 0,
        ),
      }),
      setStandardisation: (inputs) => {
        standard = inputs;
      },
      classCounts: () =>
        Object.fromEntries(
          (['train', 'val', 'test'] as const).map((part) => {
            const counts = new Array<number>(Math.max(1, classCount)).fill(0);
            for (const label of raw[part].labels)
              counts[classCount === 0 ? 0 : label] = (counts[classCount === 0 ? 0 : label] ?? 0) + 1;
            return [part, counts];
          }),
        ) as unknown as Record<Part, readonly number[]>,
    },
    close: async () => undefined,
  };
}

/** Makes a batch another by where it stands in the study, as an augmentation does: a batch that is loaded with a wrong key shows. */
function augment(
  data: Float32Array,
  rows: number,
  { studySeed, siteIndex, epoch, batchIndex, firstRow }: Augmenting,
): void {
  const stream = randomStream(studySeed, 'test augmentation', [siteIndex, epoch, batchIndex]);
  const width = data.length / rows;
  for (let row = 0; row < rows; row++) {
    const factor = 0.95 + 0.1 * stream.uniform(0, (firstRow ?? 0) + row);
    for (let column = 0; column < width; column++) data[row * width + column]! *= factor;
  }
}

function rawPart({ seed, site, counts, dims, classCount }: RecordSettings, part: Part, index: number) {
  const count = counts[part];
  const width = elementCount(dims);
  const stream = randomStream(seed, 'test records', [site, index]);
  const x = new Float64Array(count * width);
  const labels = new Float64Array(count);
  const groups = Int32Array.from({ length: count }, (_, row) => row >> 1);
  for (let row = 0; row < count; row++) {
    const values = x.subarray(row * width, (row + 1) * width);
    for (let column = 0; column < width; column++) {
      const value = stream.normal(column, row);
      // A third of an image's rows of pixels is flat.
      values[column] =
        dims.length === 1 ? 5 * column + (1 + column) * value : Math.floor(column / 8) % 3 === 0 ? 0.5 : value;
    }
    if (classCount === 0) {
      labels[row] = 100 + 20 * values.reduce((sum, value, column) => sum + Math.sin(value / (1 + column) + column), 0);
    } else {
      const label = stream.integer(classCount, 0, count + row);
      labels[row] = label;
      if (dims.length === 3) brighten(values, dims, label);
    }
  }
  return { x, labels, groups };
}

/** The lower half of an image is the brighter the higher its class: what there is to learn. */
function brighten(values: Float64Array, dims: readonly number[], label: number): void {
  const [, height = 1, width = 1] = dims;
  for (let index = 0; index < values.length; index++)
    if (Math.floor(index / width) % height >= height / 2) values[index]! += 2 * label;
}
