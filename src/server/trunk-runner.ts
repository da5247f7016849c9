// The server's part of the network at its engine: the trunk, one or several replicas of it, and the server's own copy of a segment that
// it mirrors. A scope names a replica's tensors at the engine.

import { type Engine, GraphTable, type Run } from '../engine/index.ts';
import type { Graph } from '../onnx/index.ts';
import { type PartLayout, stateTensors } from '../protocol/index.ts';
import { bindingsOf, type CompiledStudy, type GraphName, graphOf } from '../split/index.ts';
import type { Tensor } from '../tensor/index.ts';

export type PartName = 'segment' | 'trunk' | 'head';
type Tensors = Readonly<Record<string, Tensor>>;

/** What a training step gives for some records. */
export interface TrunkRows {
  /** Loss of each record, unweighted, float32 [N]. */
  readonly loss: Tensor;
  /** The cut gradient, float32 [N, …cut]; absent in `detached`. */
  readonly gradient: Tensor | undefined;
}

/** A training step under way. */
export interface TrunkStep {
  /**
   * Takes records in their order in the step: cut, labels, weight and masks, whose buffers may not be used again. Resolves when what they
   * give is known, which may be at the step's end: wait for it after `end` is called.
   */
  add(rows: Tensors): Promise<TrunkRows>;
  /** All records are there: updates the trunk. */
  end(): Promise<void>;
}

export class TrunkRunner {
  readonly #engine: Engine;
  readonly #study: CompiledStudy;
  readonly #graphs: GraphTable<GraphName>;
  /** What comes back of a step: each record's loss and, but in `detached`, cut gradient. */
  readonly #ofStep: readonly string[];

  private constructor(engine: Engine, study: CompiledStudy, graphs: GraphTable<GraphName>) {
    this.#engine = engine;
    this.#study = study;
    this.#graphs = graphs;
    const { 'trunk-step': step } = study.graphs;
    this.#ofStep = (step?.outputs ?? []).map(({ name }) => name).filter((name) => !name.endsWith('.next'));
  }

  /** Loads the server's graphs: the trunk's and, with `mirrored`, the updates of its copies. */
  static async open(engine: Engine, study: CompiledStudy, mirrored: boolean): Promise<TrunkRunner> {
    const names = (Object.keys(study.graphs) as GraphName[]).filter(
      (name) => name.startsWith('trunk') || (mirrored && name.endsWith('-update')),
    );
    const graphs = new Map(names.map((name) => [name, graphOf(study, name)]));
    const bind = (graph: Graph, scope: string) => bindingsOf(graph, study.kept.trunk, scope);
    return new TrunkRunner(engine, study, await GraphTable.load(engine, graphs, bind));
  }

  /**
   * Begins a step: forward, loss, backward and update in one run that gets its records in parts. `feeds` has what is not of a record:
   * hyper, target. What the graph has no input for is left out.
   */
  begin(scope: string, feeds: Tensors): TrunkStep {
    const run = this.#engine.begin(this.#run('trunk-step', scope, feeds, this.#ofStep));
    return {
      add: async (rows) => {
        const results = await run.add(this.#graphs.feeds('trunk-step', rows), { transfer: true });
        return { loss: results['loss'] as Tensor, gradient: results['cut.gradient'] };
      },
      end: async () => {
        await run.end();
      },
    };
  }

  /** With the head at the sites: the trunk's output in training form. Keeps what `backward` needs. */
  async forward(scope: string, feeds: Tensors): Promise<Tensor> {
    return (await this.#engine.run(this.#run('trunk-forward', scope, feeds, ['output'])))['output'] as Tensor;
  }

  /** With the head at the sites: the cut gradient from the output's gradient, and the trunk's update. */
  async backward(scope: string, feeds: Tensors): Promise<Tensor> {
    return (await this.#engine.run(this.#run('trunk-backward', scope, feeds, ['cut.gradient'])))[
      'cut.gradient'
    ] as Tensor;
  }

  /** The trunk in inference form: the network's output `y`, or with the head at the sites the trunk's output. */
  async evaluate(scope: string, cut: Tensor): Promise<Tensor> {
    const output = this.#study.parts.head ? 'output' : 'y';
    return (await this.#engine.run(this.#run('trunk-evaluate', scope, { cut }, [output])))[output] as Tensor;
  }

  /** Updates the server's copy of a part at the sites by the sum of the sites' gradients. */
  async updateCopy(part: 'segment' | 'head', scope: string, gradients: Tensors, hyper: Tensor): Promise<void> {
    await this.#engine.put(scoped(scope, gradients));
    await this.#engine.run(this.#run(`${part}-update`, scope, { hyper }, []));
  }

  /** A copy of a part's state, by tensor name without the scope. */
  async state(part: PartName, scope: string, withSlots: boolean): Promise<Record<string, Tensor>> {
    return this.#copies(
      stateTensors(part, this.layout(part), withSlots).map((spec) => spec.name),
      scope,
    );
  }

  /** A copy of the optimizer's state of a part, by tensor name without the scope. */
  async slots(part: PartName, scope: string): Promise<Record<string, Tensor>> {
    const held = new Set(stateTensors(part, this.layout(part), false).map((spec) => spec.name));
    const names = stateTensors(part, this.layout(part), true).map((spec) => spec.name);
    return this.#copies(
      names.filter((name) => !held.has(name)),
      scope,
    );
  }

  /** Sets a part's state. With `transfer` its buffers go to the engine and must not be used again. */
  async setState(scope: string, state: Tensors, options: { readonly transfer?: boolean } = {}): Promise<void> {
    await this.#engine.put(scoped(scope, state), options);
  }

  layout(part: PartName): PartLayout {
    const layout = this.#study.parts[part]?.layout;
    if (!layout) throw new TypeError(`the study has no ${part}`);
    return layout;
  }

  async #copies(names: readonly string[], scope: string): Promise<Record<string, Tensor>> {
    const values = await this.#engine.get(names.map((name) => scope + name));
    return Object.fromEntries(names.map((name) => [name, values[scope + name] as Tensor]));
  }

  #run(name: GraphName, scope: string, feeds: Tensors, fetch: readonly string[]): Run {
    return this.#graphs.run(name, scope, feeds, fetch);
  }
}

function scoped(scope: string, tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [scope + name, value]));
}
