// A table's records in memory: raw float64 columns for the sums, standardised float32 rows once the pool is known.

import { assert, DataError } from '../base/index.ts';
import { zeros, type Tensor } from '../tensor/index.ts';
import type { InputColumn } from './inputs.ts';
import { unlabelledPart, type ManifestPart, type OpenedData, type UnlabelledData } from './listing.ts';
import { classCounts, targetSums } from './label-sums.ts';
import { columnSums, type ColumnSums, type Poolable, type Standardisation } from './pooling.ts';
import { parts, recordOfParts, type Part, type Records } from './records.ts';

/** Raw inputs `[records, columns]`, row-major; NaN where a number is missing. */
export type RawRows = Float64Array;

/** Records of a table. `load` throws DataError until the standardisation is set. */
export class TableRecords implements Records {
  readonly count: number;
  readonly labels: Float64Array;
  readonly groups: Int32Array;
  readonly ids: readonly string[];
  readonly #columns: number;
  readonly #raw: RawRows;
  #standardised: Float32Array | null = null;

  constructor(part: ManifestPart, raw: RawRows, columns: number) {
    this.count = part.ids.length;
    this.labels = Float64Array.from(part.labels);
    this.groups = Int32Array.from(part.groups);
    this.ids = part.ids;
    assert(raw.length === this.count * columns, 'a table’s rows match its manifest');
    this.#raw = raw;
    this.#columns = columns;
  }

  /** (value - mean) / sd of every column, in float64, then float32; a missing number becomes the mean, so 0. */
  standardise({ mean, sd }: Standardisation): void {
    assert(mean.length === this.#columns && sd.length === this.#columns, 'a standardisation of the same columns');
    const standardised = new Float32Array(this.#raw.length);
    for (let index = 0; index < standardised.length; index++) {
      const column = index % this.#columns;
      const value = (this.#raw[index]! - mean[column]!) / sd[column]!;
      standardised[index] = Number.isNaN(value) ? 0 : value;
    }
    this.#standardised = standardised;
  }

  load(rows: ArrayLike<number>): Promise<Tensor<'float32'>> {
    const source = this.#standardised;
    if (source === null)
      return Promise.reject(new DataError('bad-data', 'a table is loaded after its pooled standardisation is set'));
    const width = this.#columns;
    const out = zeros('float32', [rows.length, width]);
    for (let at = 0; at < rows.length; at++) {
      const row = rows[at]!;
      assert(row >= 0 && row < this.count, `row ${row} of ${this.count}`);
      out.data.set(source.subarray(row * width, (row + 1) * width), at * width);
    }
    return Promise.resolve(out);
  }
}

/** A site's data from a table: its raw rows of each part, as its manifest lists them. */
export function tableData(
  manifestParts: Readonly<Record<Part, ManifestPart>>,
  raw: Readonly<Record<Part, RawRows>>,
  columns: readonly InputColumn[],
  classes: readonly string[] | null,
): OpenedData {
  const records = recordOfParts((part) => new TableRecords(manifestParts[part], raw[part], columns.length));
  const pooling: Poolable = {
    sums: () => ({ inputs: inputSums(raw.train, columns), target: targetSums(records.train, classes) }),
    setStandardisation: (inputs) => parts.forEach((part) => records[part].standardise(inputs)),
    classCounts: () => classCounts(records, classes),
  };
  return { parts: records, pooling, close: () => Promise.resolve() };
}

/** Records of a table without labels. */
export function unlabelledTable(
  ids: readonly string[],
  raw: RawRows,
  columns: readonly InputColumn[],
  remarks: readonly string[] = [],
): UnlabelledData {
  const records = new TableRecords(unlabelledPart(ids), raw, columns.length);
  return {
    records,
    remarks,
    setStandardisation: (inputs) => records.standardise(inputs),
    close: () => Promise.resolve(),
  };
}

function inputSums(raw: RawRows, columns: readonly InputColumn[]): ColumnSums {
  const width = columns.length;
  function* rows() {
    for (let start = 0; start < raw.length; start += width) yield raw.subarray(start, start + width);
  }
  const all = columnSums(rows(), width);
  const numbersOnly = (values: readonly number[]) =>
    values.map((value, column) => (columns[column]!.kind === 'number' ? value : 0));
  return { counts: numbersOnly(all.counts), sums: numbersOnly(all.sums), squares: numbersOnly(all.squares) };
}
