// A run in parts that several threads share: records are gathered into units of a fixed size, unit k goes to thread k modulo their number,
// and each thread adds up its own units in order. So no bit depends on how the records came or on which thread was faster.

import { cloneTensor, joinRows, putRows, rowsOf, type Tensor, zeros } from '../../tensor/index.ts';
import type { PartedRun } from '../engine.ts';
import { buffersOf } from './buffers.ts';
import { failed } from './check-run.ts';
import type { Ask } from './lanes.ts';
import type { Tensors } from './messages.ts';

/** What a spread run needs of its engine. */
export interface SpreadOptions {
  readonly runId: number;
  readonly graphName: string;
  /** Names of the outputs that come a record at a time and are fetched. */
  readonly fetch: readonly string[];
  /** Inputs that come a record at a time. */
  readonly batched: readonly string[];
  /** Records in a unit. */
  readonly unit: number;
  /** The threads, the engine's own first. Each does what it is asked in order. */
  readonly threads: readonly Thread[];
  /** Ends the run at the engine's own thread, when the other threads' sums are there. Keeps its place in the order of calls. */
  readonly end: (sums: Promise<readonly Tensors[]>) => Promise<Record<string, Tensor>>;
}

export interface Thread {
  readonly ask: Ask;
  /** Settles when the run has begun there. */
  readonly begun: Promise<unknown>;
}

/** Rows of one unit that belong to one part. */
interface Share {
  readonly unit: Promise<Tensors>;
  readonly from: number;
  readonly count: number;
}

interface Unit {
  readonly rows: Record<string, Tensor>;
  readonly results: Promise<Tensors>;
  readonly resolve: (results: Promise<Tensors>) => void;
  count: number;
}

export class SpreadRun implements PartedRun {
  readonly #options: SpreadOptions;
  readonly #sent: Promise<Tensors>[] = [];
  #filling: Unit | undefined;

  constructor(options: SpreadOptions) {
    this.#options = options;
  }

  async add(
    rows: Readonly<Record<string, Tensor>>,
    { transfer = false }: { readonly transfer?: boolean } = {},
  ): Promise<Record<string, Tensor>> {
    const shares = this.#gather(rows, transfer);
    const results = await Promise.all(shares.map(({ unit }) => unit));
    const own: Record<string, Tensor> = {};
    for (const name of this.#options.fetch) {
      const parts = shares.map(({ from, count }, index) => rowsOf(results[index]?.[name] as Tensor, from, count));
      own[name] = joinRows(parts);
    }
    return own;
  }

  async end(): Promise<Record<string, Tensor>> {
    if (this.#filling) this.#send(this.#filling);
    return this.#options.end(this.#othersSums());
  }

  /** What the other threads have added up, when all units are done. Every one of them then forgets the run. */
  async #othersSums(): Promise<readonly Tensors[]> {
    const { runId, threads } = this.#options;
    const units = [...threads.map(({ begun }) => begun), ...this.#sent];
    const sums = threads.slice(1).map(({ ask }) => ask({ kind: 'sums', runId }));
    const [all] = await Promise.all([Promise.all(sums), Promise.all(units)]);
    return all.map(([own]) => own ?? {}).slice(0, Math.max(0, this.#sent.length - 1));
  }

  /** Copies rows into units and sends those that are full. Rows that make a whole unit and may be moved go as they are. */
  #gather(rows: Readonly<Record<string, Tensor>>, transfer: boolean): Share[] {
    const { batched, graphName, unit } = this.#options;
    const own: Record<string, Tensor> = {};
    const count = rows[batched[0] ?? '']?.dims[0] ?? 0;
    for (const name of batched) {
      const value = rows[name];
      if (!value) throw failed({ name: graphName }, `input "${name}" is missing; give its rows`);
      if (value.dims[0] !== count)
        throw failed(
          { name: graphName },
          `input "${name}": expected ${count} rows as in "${batched[0]}", got ${value.dims[0]}`,
        );
      own[name] = value;
    }
    if (transfer && count === unit && !this.#filling) return [{ unit: this.#post(own), from: 0, count }];
    const shares: Share[] = [];
    for (let row = 0; row < count;) {
      const filling = (this.#filling ??= newUnit(own, unit));
      const taken = Math.min(count - row, unit - filling.count);
      for (const name of batched)
        putRows(filling.rows[name] as Tensor, filling.count, rowsOf(own[name] as Tensor, row, taken));
      shares.push({ unit: filling.results, from: filling.count, count: taken });
      filling.count += taken;
      row += taken;
      if (filling.count === unit) this.#send(filling);
    }
    return shares;
  }

  #send(unit: Unit): void {
    this.#filling = undefined;
    const rows: Record<string, Tensor> = {};
    for (const name of this.#options.batched) {
      const value = unit.rows[name] as Tensor;
      rows[name] = value.dims[0] === unit.count ? value : cloneTensor(rowsOf(value, 0, unit.count));
    }
    unit.resolve(this.#post(rows));
  }

  /** Gives the next unit to its thread. */
  #post(rows: Tensors): Promise<Tensors> {
    const { runId, threads, fetch } = this.#options;
    const { ask, begun } = threads[this.#sent.length % threads.length] as Thread;
    const added = ask({ kind: 'add', runId, rows, fetch }, buffersOf([rows]));
    added.catch(() => undefined);
    const results = begun.then(() => added).then(([first]) => first ?? {});
    results.catch(() => undefined); // Whoever added the rows, and `end`, see it.
    this.#sent.push(results);
    return results;
  }
}

function newUnit(like: Readonly<Record<string, Tensor>>, count: number): Unit {
  const entries = Object.entries(like).map(([name, { dtype, dims }]) => [name, zeros(dtype, dims.with(0, count))]);
  const rows = Object.fromEntries(entries) as Record<string, Tensor>;
  return { ...promised(), rows, count: 0 };
}

/** What a unit will give. */
function promised(): Pick<Unit, 'results' | 'resolve'> {
  let resolve: Unit['resolve'] = () => undefined;
  const results = new Promise<Tensors>((settle) => {
    resolve = settle;
  });
  results.catch(() => undefined);
  return { results, resolve };
}
