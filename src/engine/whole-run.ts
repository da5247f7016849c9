// A parted run for engines and graphs that take a batch only whole: the parts are joined and run when the last one is there.

import { EngineError } from '../base/index.ts';
import { cloneTensor, joinRows, rowsOf, type Tensor } from '../tensor/index.ts';
import type { Engine, PartedRun, Run } from './engine.ts';

type Tensors = Readonly<Record<string, Tensor>>;

interface Part {
  readonly rows: Tensors;
  readonly resolve: (results: Record<string, Tensor>) => void;
  readonly reject: (error: unknown) => void;
}

export class WholeRun implements PartedRun {
  readonly #engine: Pick<Engine, 'run'>;
  readonly #run: Run;
  /** Names of the outputs that come a record at a time. */
  readonly #batched: ReadonlySet<string>;
  readonly #parts: Part[] = [];

  constructor(engine: Pick<Engine, 'run'>, run: Run, batched: ReadonlySet<string>) {
    this.#engine = engine;
    this.#run = { ...run, feeds: copies(run.feeds ?? {}) };
    this.#batched = batched;
  }

  add(rows: Tensors, { transfer = false }: { readonly transfer?: boolean } = {}): Promise<Record<string, Tensor>> {
    const results = new Promise<Record<string, Tensor>>((resolve, reject) => {
      this.#parts.push({ rows: transfer ? rows : copies(rows), resolve, reject });
    });
    results.catch(() => undefined); // `end` rejects with it as well.
    return results;
  }

  async end(): Promise<Record<string, Tensor>> {
    const parts = this.#parts.splice(0);
    try {
      const [first] = parts;
      if (!first) throw new EngineError('run-failed', `graph ${this.#run.graph.name}: no records were given`);
      const names = Object.keys(first.rows);
      const joined = Object.fromEntries(
        names.map((name) => [name, joinRows(parts.map(({ rows }) => rowOf(rows, name)))]),
      );
      const results = await this.#engine.run({
        ...this.#run,
        feeds: { ...this.#run.feeds, ...joined },
        transfer: true,
      });
      const entries = Object.entries(results);
      let from = 0;
      for (const { rows, resolve } of parts) {
        const count = Object.values(rows)[0]?.dims[0] ?? 0;
        const batched = entries.filter(([name]) => this.#batched.has(name));
        resolve(Object.fromEntries(batched.map(([name, value]) => [name, rowsOf(value, from, count)])));
        from += count;
      }
      return Object.fromEntries(entries.filter(([name]) => !this.#batched.has(name)));
    } catch (error) {
      for (const { reject } of parts) reject(error);
      throw error;
    }
  }
}

/** The run's own, whose buffers it may give away. */
function copies(tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, cloneTensor(value)]));
}

function rowOf(rows: Tensors, name: string): Tensor {
  const value = rows[name];
  if (!value) throw new EngineError('run-failed', `input "${name}" is missing from some of a run's parts`);
  return value;
}
