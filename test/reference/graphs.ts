// Compiled graphs run one at a time, with every input handed in and every output handed back: no state stays at the engine.

import type { Engine, LoadedGraph } from '../../src/engine/index.ts';
import type { Graph } from '../../src/onnx/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

export class Graphs {
  readonly #engine: Engine;
  readonly #loaded = new Map<string, { readonly graph: Graph; readonly loaded: LoadedGraph }>();

  private constructor(engine: Engine) {
    this.#engine = engine;
  }

  static async open(engine: Engine, graphs: Readonly<Record<string, Graph>>): Promise<Graphs> {
    const opened = new Graphs(engine);
    for (const [name, graph] of Object.entries(graphs))
      opened.#loaded.set(name, { graph, loaded: await engine.load(graph) });
    return opened;
  }

  /** All outputs of a graph; its inputs are picked from `values` by name. */
  async run(name: string, values: Tensors): Promise<Record<string, Tensor>> {
    const entry = this.#loaded.get(name);
    if (!entry) throw new Error(`there is no graph ${name}`);
    const feeds = Object.fromEntries(entry.graph.inputs.map((input) => [input.name, values[input.name] as Tensor]));
    return this.#engine.run({ graph: entry.loaded, feeds, fetch: entry.graph.outputs.map((output) => output.name) });
  }
}

/** The state after a run: each output `NAME.next` is the next value of NAME. */
export function advance(state: Tensors, outputs: Tensors): Tensors {
  const next = Object.entries(outputs).filter(([name]) => name.endsWith('.next'));
  return { ...state, ...Object.fromEntries(next.map(([name, value]) => [name.slice(0, -'.next'.length), value])) };
}
