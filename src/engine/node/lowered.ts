// Running a lowered graph in the place of a standard one: in units of records where it has them, filled up with records of zeros where it
// takes whole blocks only.

import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { putRows, rowsOf, type Tensor, zeros } from '../../tensor/index.ts';
import { type Declaration, isBatched } from './check-run.ts';
import type { GraphFile, LoweredFile } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { release } from './release.ts';
import type { Fetches, Session, Values } from './session.ts';
import { addUp, firstRows, missingIn, padded, releaseNew, type Through, UnitsRun } from './units-run.ts';

interface Sessions {
  readonly records: Session;
  readonly prepare: Session | undefined;
  readonly rest: Session | undefined;
}

/** How every call into a session is made, and how a session is closed. */
interface Hooks {
  readonly through: Through;
  readonly close: (session: Session) => void;
}

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
  readonly #hooks: Hooks;
  readonly #batched: ReadonlySet<string>;
  /** What a run in parts is checked against: what its beginning reads, each unit's rows, and its end. */
  readonly unitsRead: Declaration;
  readonly rowsRead: Declaration;
  readonly endReads: Declaration;
  /** Inputs of the units that are of no record. */
  readonly #fixedInputs: readonly string[];

  constructor(graph: GraphFile, form: LoweredFile, sessions: Sessions, hooks: Hooks) {
    this.#graph = graph;
    this.#form = form;
    this.#sessions = sessions;
    this.#hooks = hooks;
    this.#batched = new Set([...graph.inputs, ...graph.outputs].filter(isBatched).map(({ name }) => name));
    this.#fixedInputs = (form.units?.inputs ?? []).filter((name) => !this.#batched.has(name));
    const read = new Set([...(form.units?.inputs ?? []), ...(form.units?.prepareInputs ?? [])]);
    const fixed = graph.inputs.filter((input) => !isBatched(input));
    this.rowsRead = { ...graph, inputs: graph.inputs.filter(isBatched) };
    this.endReads = { ...graph, inputs: fixed };
    this.unitsRead = { ...graph, inputs: fixed.filter(({ name }) => read.has(name)) };
  }

  /** Whether a batch of so many records can be run; else the standard graph must do. */
  takes(batch: number): boolean {
    const { paddable, recordsMultiple } = this.#form;
    if (batch === 0) return recordsMultiple === 1 && !this.#form.units;
    return paddable || batch % recordsMultiple === 0;
  }

  /** The outputs that `fetches` names; a tensor given there is filled where the runtime can. `unit` overrides the records in a unit. */
  run(feeds: Values, fetches: Fetches, unit = this.#form.units?.records ?? Infinity): Values {
    const batch = batchOf(this.#graph, feeds);
    if (!this.#form.units) return this.#whole(feeds, fetches, batch);
    const units = this.begin(feeds);
    const names = Object.keys(fetches).filter((name) => this.#batched.has(name));
    const joined: Record<string, Tensor> = {};
    for (let from = 0; from < batch; from += unit) {
      const count = Math.min(unit, batch - from);
      for (const [name, rows] of Object.entries(units.add(this.#rows(feeds, from, count), names))) {
        joined[name] ??= zeros(rows.dtype, rows.dims.with(0, batch));
        putRows(joined[name], from, rows);
      }
    }
    const results = this.end([units.takeSums()], feeds, fetches);
    return { ...results, ...ortValues(joined) };
  }

  /** Begins a run in units. What `feeds` has of records is not looked at. */
  begin(feeds: Values): UnitsRun {
    const { units } = this.#form;
    const { prepare, records } = this.#sessions;
    const early = prepare && this.#hooks.through(() => prepare.run(pick(feeds, units?.prepareInputs ?? [])));
    const fixed = pick(feeds, this.#fixedInputs);
    return new UnitsRun(this.#form, records, fixed, early ?? {}, this.#hooks.through);
  }

  /** The outputs that are of no record, from the sums of all units; those of several threads are added in order. */
  end(all: readonly Readonly<Record<string, Tensor>>[], feeds: Values, fetches: Fetches): Values {
    const sums: Record<string, Tensor> = {};
    for (const own of all) for (const [name, value] of Object.entries(own)) addUp(sums, name, value);
    const rest = this.#sessions.rest as Session;
    const outputs: Record<string, OrtTensor | null> = {};
    for (const name in fetches) if (!this.#batched.has(name)) outputs[name] = fetches[name] ?? null;
    const given = pick(feeds, this.#form.units?.restInputs ?? []);
    for (const name in sums) given[name] = toOrt(sums[name] as Tensor);
    const results = this.#hooks.through(() => rest.run(given, outputs));
    for (const value of Object.values(sums)) release(value.data);
    return results;
  }

  release(): void {
    for (const session of Object.values(this.#sessions)) if (session) this.#hooks.close(session);
  }

  #whole(feeds: Values, fetches: Fetches, batch: number): Values {
    const { records } = this.#sessions;
    const missing = missingIn(batch, this.#form.recordsMultiple);
    if (missing === 0) return this.#hooks.through(() => records.run(feeds, fetches));
    const batched = padded(pick(feeds, [...this.#batched]), missing);
    const results = this.#hooks.through(() => records.run({ ...feeds, ...batched }, fetches));
    releaseNew(batched, feeds);
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => [
        name,
        this.#batched.has(name) ? toOrt(firstRows(fromOrt(value), batch)) : value,
      ]),
    );
  }

  /** Some records of the batched inputs, without a copy. */
  #rows(feeds: Values, from: number, count: number): Values {
    const names = (this.#form.units?.inputs ?? []).filter((name) => this.#batched.has(name));
    return mapValues(pick(feeds, names), (value) => toOrt(rowsOf(fromOrt(value), from, count)));
  }
}

function mapValues(values: Values, change: (value: OrtTensor) => OrtTensor): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
}

function pick(values: Values, names: readonly string[]): Record<string, OrtTensor> {
  const picked: Record<string, OrtTensor> = {};
  for (const name of names) if (values[name]) picked[name] = values[name];
  return picked;
}

function ortValues(values: Readonly<Record<string, Tensor>>): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toOrt(value)]));
}
