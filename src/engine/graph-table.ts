// The graphs of one study at one engine, by name.

import { EngineError } from '../base/index.ts';
import type { Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Engine, LoadedGraph, Run } from './engine.ts';

/** What of a graph's run stays at the engine, under names that `scope` says: a prefix, or whatever the binder makes them from. */
export type Bind<Scope> = (graph: Graph, scope: Scope) => Required<Pick<Run, 'resident' | 'keep'>>;

interface Entry<Scope> {
  readonly graph: Graph;
  readonly loaded: LoadedGraph;
  readonly inputs: ReadonlySet<string>;
  /** By scope: they are asked for at every step. */
  readonly bindings: Map<Scope, ReturnType<Bind<Scope>>>;
}

/** Loaded graphs. Feeds that a graph has no input for are left out, so that one set of feeds serves every variant of a graph. */
export class GraphTable<Name extends string, Scope = string> {
  readonly #entries: ReadonlyMap<Name, Entry<Scope>>;

  readonly #bind: Bind<Scope>;

  private constructor(entries: ReadonlyMap<Name, Entry<Scope>>, bind: Bind<Scope>) {
    this.#entries = entries;
    this.#bind = bind;
  }

  /** Loads the graphs in order. Throws EngineError `load-failed` or `unsupported-operator`. */
  static async load<Name extends string, Scope>(
    engine: Engine,
    graphs: ReadonlyMap<Name, Graph>,
    bind: Bind<Scope>,
  ): Promise<GraphTable<Name, Scope>> {
    const entries = new Map<Name, Entry<Scope>>();
    for (const [name, graph] of graphs) {
      entries.set(name, {
        graph,
        loaded: await engine.load(graph),
        inputs: new Set(graph.inputs.map((input) => input.name)),
        bindings: new Map(),
      });
    }
    return new GraphTable(entries, bind);
  }

  /** A run of the graph of that name on the tensors of a scope. Throws EngineError `bad-graph` when it is not in the table. */
  run(name: Name, scope: Scope, feeds: Readonly<Record<string, Tensor>>, fetch: readonly string[]): Run {
    const { graph, loaded, bindings } = this.#entry(name);
    let binding = bindings.get(scope);
    if (!binding) {
      binding = this.#bind(graph, scope);
      bindings.set(scope, binding);
    }
    return { graph: loaded, feeds: this.feeds(name, feeds), resident: binding.resident, keep: binding.keep, fetch };
  }

  /** Those of the feeds that the graph of that name has inputs for. */
  feeds(name: Name, feeds: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    const { inputs } = this.#entry(name);
    const own: Record<string, Tensor> = {};
    for (const input in feeds) if (inputs.has(input)) own[input] = feeds[input] as Tensor;
    return own;
  }

  #entry(name: Name): Entry<Scope> {
    const entry = this.#entries.get(name);
    if (!entry) throw new EngineError('bad-graph', `no graph ${name} was loaded`);
    return entry;
  }
}
