// Running a lowered graph in the place of a standard one: in units of records where it has them, filled up with records of zeros where it
// takes whole blocks only.

import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { ValueInfo } from '../../onnx/index.ts';
import { cloneTensor, elementCount, type Tensor, zeros } from '../../tensor/index.ts';
import type { Declaration } from './check-run.ts';
import type { GraphFile, LoweredFile } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { release } from './release.ts';

type Values = Readonly<Record<string, OrtTensor>>;
type Fetches = Readonly<Record<string, OrtTensor | null>>;

interface Sessions {
  readonly records: InferenceSession;
  readonly rest: InferenceSession | undefined;
}

const isBatched = ({ dims }: ValueInfo): boolean => typeof dims[0] === 'string';

/** Records of a run; 0 when the graph has no input with a batch dimension. */
export function batchOf(graph: Declaration, feeds: Values): number {
  const batched = graph.inputs.find((input) => isBatched(input) && feeds[input.name]);
  return (batched && feeds[batched.name]?.dims[0]) ?? 0;
}

/** A lowered graph at ONNX Runtime. */
export class LoweredSession {
  readonly #graph: GraphFile;
  readonly #form: LoweredFile;
  readonly #sessions: Sessions;
  readonly #through: <T>(call: () => Promise<T>) => Promise<T>;
  readonly #batched: ReadonlySet<string>;

  constructor(
    graph: GraphFile,
    form: LoweredFile,
    sessions: Sessions,
    through: <T>(call: () => Promise<T>) => Promise<T>,
  ) {
    this.#graph = graph;
    this.#form = form;
    this.#sessions = sessions;
    this.#through = through;
    this.#batched = new Set([...graph.inputs, ...graph.outputs].filter(isBatched).map(({ name }) => name));
  }

  /** Whether a batch of so many records can be run; else the standard graph must do. */
  takes(batch: number): boolean {
    const { paddable, recordsMultiple } = this.#form;
    if (batch === 0) return recordsMultiple === 1 && !this.#form.units;
    return paddable || batch % recordsMultiple === 0;
  }

  /** The outputs that `fetches` names; a tensor given there is filled where the runtime can. `unit` overrides the records in a unit. */
  async run(feeds: Values, fetches: Fetches, unit = this.#form.units?.records ?? Infinity): Promise<Values> {
    const batch = batchOf(this.#graph, feeds);
    const { units, recordsMultiple } = this.#form;
    const rest = this.#sessions.rest;
    if (!units || !rest) {
      const missing = (recordsMultiple - (batch % recordsMultiple)) % recordsMultiple;
      if (missing === 0) return this.#through(() => this.#sessions.records.run(feeds, fetches));
      const given = this.#padded(feeds, missing);
      const results = await this.#through(() => this.#sessions.records.run(given, fetches));
      releaseNew(given, feeds);
      return ownRows(this.#rows(results, 0, batch), results);
    }
    const joined: Record<string, Tensor> = {};
    const sums: Record<string, Tensor> = {};
    const names = units.outputs.filter((name) => name in fetches || units.sums.includes(name));
    const wanted = Object.fromEntries(names.map((name) => [name, null]));
    for (let from = 0; from < batch; from += unit) {
      const count = Math.min(unit, batch - from);
      const missing = (recordsMultiple - (count % recordsMultiple)) % recordsMultiple;
      const rows = this.#rows(pick(feeds, units.inputs), from, count);
      const given = this.#padded(rows, missing);
      const results = await this.#through(() => this.#sessions.records.run(given, wanted));
      releaseNew(given, rows);
      for (const name of names) {
        const value = fromOrt(results[name] as OrtTensor);
        if (this.#batched.has(name)) putRows(joined, name, value, from, count, batch);
        else addUp(sums, name, value);
      }
    }
    const last = { ...pick(feeds, units.restInputs), ...ortValues(sums) };
    const outputs = Object.fromEntries(Object.entries(fetches).filter(([name]) => !names.includes(name)));
    const results = await this.#through(() => rest.run(last, outputs));
    for (const value of Object.values(sums)) release(value.data);
    return { ...results, ...ortValues(joined) };
  }

  async release(): Promise<void> {
    const { records, rest } = this.#sessions;
    await this.#through(() => records.release());
    if (rest) await this.#through(() => rest.release());
  }

  /** The inputs with `count` records of zeros after their own. */
  #padded(feeds: Values, count: number): Values {
    if (count === 0) return feeds;
    return mapValues(feeds, (given, name) => {
      if (!this.#batched.has(name)) return given;
      const value = fromOrt(given);
      const larger = zeros(value.dtype, value.dims.with(0, (value.dims[0] ?? 0) + count));
      (larger.data as Float32Array).set(value.data as Float32Array);
      return toOrt(larger);
    });
  }

  /** Some records of the batched values, without a copy. */
  #rows(values: Values, from: number, count: number): Values {
    return mapValues(values, (given, name) => {
      if (!this.#batched.has(name) || (from === 0 && given.dims[0] === count)) return given;
      const value = fromOrt(given);
      const width = elementCount(value.dims.slice(1));
      const data = (value.data as Float32Array<ArrayBuffer>).subarray(from * width, (from + count) * width);
      return toOrt({ ...value, dims: value.dims.with(0, count), data });
    });
  }
}

function mapValues(values: Values, change: (value: OrtTensor, name: string) => OrtTensor): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value, name)]));
}

/** Gives back what was made in the place of the original values. */
function releaseNew(values: Values, originals: Values): void {
  for (const [name, value] of Object.entries(values)) if (value !== originals[name]) release(value.data);
}

/** The rows in memory of their own; that of the whole values is given back. */
function ownRows(rows: Values, whole: Values): Values {
  return mapValues(rows, (value, name) => {
    if (value === whole[name]) return value;
    const own = toOrt(cloneTensor(fromOrt(value)));
    release(value.data);
    return own;
  });
}

function pick(values: Values, names: readonly string[]): Values {
  return Object.fromEntries(names.flatMap((name) => (values[name] ? [[name, values[name]]] : [])));
}

function ortValues(values: Readonly<Record<string, Tensor>>): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toOrt(value)]));
}

/** Puts the first `count` rows of a unit's output in their place in the whole batch's. */
function putRows(
  joined: Record<string, Tensor>,
  name: string,
  value: Tensor,
  from: number,
  count: number,
  batch: number,
): void {
  joined[name] ??= zeros(value.dtype, value.dims.with(0, batch));
  const width = elementCount(value.dims.slice(1));
  const rows = (value.data as Float32Array).subarray(0, count * width);
  (joined[name].data as Float32Array).set(rows, from * width);
}

/** Adds a unit's sum to those of the units before it. The first becomes the sum itself. */
function addUp(sums: Record<string, Tensor>, name: string, value: Tensor): void {
  const sum = sums[name]?.data as Float32Array | undefined;
  if (!sum) {
    sums[name] = value;
    return;
  }
  const more = value.data as Float32Array;
  for (let at = 0; at < sum.length; at++) sum[at] = sum[at]! + more[at]!;
  release(more);
}
