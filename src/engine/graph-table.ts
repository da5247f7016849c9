// The graphs of one study at one engine, by name.

import { EngineError } from '../base/index.ts';
import type { Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Engine, LoadedGraph, Run } from './engine.ts';

interface Entry {
  readonly graph: Graph;
  readonly loaded: LoadedGraph;
  readonly inputs: ReadonlySet<string>;
}

/** Loaded graphs. Feeds that a graph has no input for are left out, so that one set of feeds serves every variant of a graph. */
export class GraphTable<Name extends string> {
  readonly #entries: ReadonlyMap<Name, Entry>;

  private constructor(entries: ReadonlyMap<Name, Entry>) {
    this.#entries = entries;
  }

  /** Loads the graphs in order. Throws EngineError `load-failed` or `unsupported-operator`. */
  static async load<Name extends string>(engine: Engine, graphs: ReadonlyMap<Name, Graph>): Promise<GraphTable<Name>> {
    const entries = new Map<Name, Entry>();
    for (const [name, graph] of graphs) {
      entries.set(name, {
        graph,
        loaded: await engine.load(graph),
        inputs: new Set(graph.inputs.map((input) => input.name)),
      });
    }
    return new GraphTable(entries);
  }

  /** The graph of that name. Throws EngineError `bad-graph` when it is not in the table. */
  graph(name: Name): Graph {
    return this.#entry(name).graph;
  }

  /** A run of the graph of that name. */
  run(name: Name, feeds: Readonly<Record<string, Tensor>>, binding: Pick<Run, 'resident' | 'keep' | 'fetch'>): Run {
    return { graph: this.#entry(name).loaded, feeds: this.feeds(name, feeds), ...binding };
  }

  /** Those of the feeds that the graph of that name has inputs for. */
  feeds(name: Name, feeds: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    const { inputs } = this.#entry(name);
    return Object.fromEntries(Object.entries(feeds).filter(([input]) => inputs.has(input)));
  }

  #entry(name: Name): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new EngineError('bad-graph', `no graph ${name} was loaded`);
    return entry;
  }
}
