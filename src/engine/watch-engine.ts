// An engine of which every piece of work is seen by whoever times it.

import type { Engine, LoadedGraph, Run } from './engine.ts';

/** Does the work and returns what it gives; `name` says which. */
export type Around = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** The same engine; runs and transfers go through `around`. */
export function watchEngine(engine: Engine, around: Around): Engine {
  const named = ({ graph }: { readonly graph: LoadedGraph }): string => graph.name;
  return {
    info: engine.info,
    load: (graph) => engine.load(graph),
    unload: (graph) => engine.unload(graph),
    put: (tensors, options) => around('put', () => engine.put(tensors, options)),
    get: (names) => around('get', () => engine.get(names)),
    drop: (names) => engine.drop(names),
    run: (run) => around(named(run), () => engine.run(run)),
    runAll: (runs) => around(runs.map(named).join(' + '), () => engine.runAll(runs)),
    begin: (run: Run) => {
      const parted = engine.begin(run);
      return {
        add: (rows, options) => around(`${named(run)}: records`, () => parted.add(rows, options)),
        end: () => around(`${named(run)}: end`, () => parted.end()),
      };
    },
    close: () => engine.close(),
    [Symbol.asyncDispose]: () => engine.close(),
  };
}
