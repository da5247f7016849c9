// The threads that take units of a run beside the engine's own, each alone on its core. They hold the sessions that units need and copies
// of the residents that these read; all else is at the engine's own thread.

import { buffersOf, movable } from './buffers.ts';
import type { GraphFile, Request, Tensors } from './messages.ts';

/** Sends a request to one thread; rejects with EngineError. */
export type Ask = (request: Request, transfer?: readonly ArrayBuffer[]) => Promise<readonly Tensors[]>;

/** What an engine needs to know of the other threads. */
export interface Lane {
  readonly ask: Ask;
  close(): Promise<void>;
}

export class Lanes {
  readonly #open: () => Lane;
  readonly #count: number;
  #lanes: readonly Lane[] | undefined;
  /** Residents that all lanes have as they are at the engine. */
  readonly #held = new Set<string>();
  /** Changes of residents so far: a copy that was taken before a change must not be taken for the present value. */
  readonly #changes = new Map<string, number>();

  /** `count` threads beside the engine's own; each is started by `open` when it is first needed. */
  constructor(count: number, open: () => Lane) {
    this.#count = count;
    this.#open = open;
  }

  get all(): readonly Lane[] {
    this.#lanes ??= Array.from({ length: this.#count }, () => this.#open());
    return this.#lanes;
  }

  /** Loads what units need of a graph into each. */
  async load(file: GraphFile): Promise<void> {
    await Promise.all(this.all.map((lane) => lane.ask({ kind: 'load-units', file })));
  }

  async unload(graphId: number, graphName: string): Promise<void> {
    await Promise.all(this.all.map((lane) => lane.ask({ kind: 'unload', graphId, graphName })));
  }

  /** Residents get other values, or none: their copies are of no use any more. */
  changed(names: Iterable<string>): void {
    for (const name of names) {
      this.#held.delete(name);
      this.#changes.set(name, this.versionOf(name) + 1);
    }
  }

  versionOf(name: string): number {
    return this.#changes.get(name) ?? 0;
  }

  /** Those that the lanes do not have. */
  missing(names: Iterable<string>): string[] {
    return [...names].filter((name) => !this.#held.has(name));
  }

  /** Gives the lanes copies of residents, which belong to them from here on. `versions` are those of the values. */
  async give(tensors: Tensors, versions: ReadonlyMap<string, number>): Promise<void> {
    for (const name of Object.keys(tensors)) if (versions.get(name) === this.versionOf(name)) this.#held.add(name);
    await Promise.all(
      this.all.map((lane, index) => {
        const own = index === 0 ? tensors : movable(tensors, false);
        return lane.ask({ kind: 'put', tensors: own }, buffersOf([own]));
      }),
    );
  }

  async endProfile(): Promise<void> {
    await Promise.all((this.#lanes ?? []).map((lane) => lane.ask({ kind: 'end-profile' })));
  }

  async close(): Promise<void> {
    await Promise.all((this.#lanes ?? []).map((lane) => lane.close()));
  }
}
