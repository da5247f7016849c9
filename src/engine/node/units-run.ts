// A batch in units of records, in one thread: each unit's rows come out at once, its sums over records are added to those before.

import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { cloneTensor, rowsOf, type Tensor, zeros } from '../../tensor/index.ts';
import type { LoweredFile } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { release } from './release.ts';
import type { Session, Values } from './session.ts';

export type Through = <T>(call: () => T) => T;

export class UnitsRun {
  readonly #form: LoweredFile;
  readonly #session: Session;
  readonly #fixed: Values;
  readonly #early: Values;
  readonly #through: Through;
  readonly #sums: Record<string, Tensor> = {};

  /** Inputs that are of no record: `fixed` as they were given, `early` made for this run, which frees them. */
  constructor(form: LoweredFile, session: Session, fixed: Values, early: Values, through: Through) {
    this.#form = form;
    this.#session = session;
    this.#fixed = { ...fixed, ...early };
    this.#early = early;
    this.#through = through;
  }

  /** Takes the rows of a unit, 1 record or more. Gives the rows of the outputs that `fetch` names. */
  add(rows: Values, fetch: readonly string[]): Record<string, Tensor> {
    const sums = this.#form.units?.sums ?? [];
    const count = Object.values(rows)[0]?.dims[0] ?? 0;
    const given = padded(rows, missingIn(count, this.#form.recordsMultiple));
    const wanted: Record<string, null> = {};
    for (const name of fetch) wanted[name] = null;
    for (const name of sums) wanted[name] = null;
    const feeds: Record<string, OrtTensor> = { ...this.#fixed };
    for (const name in given) feeds[name] = given[name] as OrtTensor;
    const results = this.#through(() => this.#session.run(feeds, wanted));
    releaseNew(given, rows);
    for (const name of sums) addUp(this.#sums, name, fromOrt(results[name] as OrtTensor));
    const rowsOut: Record<string, Tensor> = {};
    for (const name of fetch) rowsOut[name] = firstRows(fromOrt(results[name] as OrtTensor), count);
    return rowsOut;
  }

  /** Ends the run. The sums, empty without a unit, belong to the caller. */
  takeSums(): Record<string, Tensor> {
    for (const value of Object.values(this.#early)) release(value.data);
    return this.#sums;
  }
}

/** Records that are missing to a whole number of blocks. */
export function missingIn(count: number, multiple: number): number {
  return (multiple - (count % multiple)) % multiple;
}

/** The batched inputs with `count` records of zeros after their own. */
export function padded(rows: Values, count: number): Values {
  if (count === 0) return rows;
  return Object.fromEntries(
    Object.entries(rows).map(([name, given]) => {
      const value = fromOrt(given);
      const larger = zeros(value.dtype, value.dims.with(0, (value.dims[0] ?? 0) + count));
      (larger.data as Float32Array).set(value.data as Float32Array);
      return [name, toOrt(larger)];
    }),
  );
}

/** Gives back what was made in the place of the original values. */
export function releaseNew(values: Values, originals: Values): void {
  for (const [name, value] of Object.entries(values)) if (value !== originals[name]) release(value.data);
}

/** The first rows in memory of their own, which holds nothing else. */
export function firstRows(value: Tensor, count: number): Tensor {
  if (value.dims[0] === count) return value;
  const own = cloneTensor(rowsOf(value, 0, count));
  release(value.data);
  return own;
}

/** Adds a unit's sum to those of the units before it. The first becomes the sum itself. */
export function addUp(sums: Record<string, Tensor>, name: string, value: Tensor): void {
  const sum = sums[name]?.data as Float32Array | undefined;
  if (!sum) {
    sums[name] = value;
    return;
  }
  const more = value.data as Float32Array;
  for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + more[at]!;
  release(more);
}
