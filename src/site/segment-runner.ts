// The site's part of the network at its engine: the privacy-preserving layer and whatever else lies before the cut and, with the labels
// at the site, the head. Parameters and optimizer state live in the engine; batches go in, activations and gradients come out.

import { BusyTime, type Clock } from '../base/index.ts';
import { type Engine, GraphTable, type Run } from '../engine/index.ts';
import { type PartLayout, stateTensors } from '../protocol/index.ts';
import { bindingsOf, type CompiledStudy, type GraphName, graphOf } from '../split/index.ts';
import type { Tensor } from '../tensor/index.ts';

type Part = 'segment' | 'head';
type Tensors = Readonly<Record<string, Tensor>>;

/** What a head's step gives. */
export interface HeadStep {
  /** Loss of each record, float32 [N]. */
  readonly loss: Tensor;
  /** Gradient of the trunk's output, float32 [N, …]. */
  readonly gradient: Tensor;
}

export class SegmentRunner {
  readonly #engine: Engine;
  readonly #study: CompiledStudy;
  readonly #graphs: GraphTable<GraphName>;
  readonly #busy: BusyTime;

  private constructor(engine: Engine, study: CompiledStudy, graphs: GraphTable<GraphName>, clock: Clock) {
    this.#engine = engine;
    this.#study = study;
    this.#graphs = graphs;
    this.#busy = new BusyTime(() => clock.nowMs());
  }

  /** Loads the site's graphs and puts the starting state at the engine. */
  static async open(engine: Engine, study: CompiledStudy, state: Tensors, clock: Clock): Promise<SegmentRunner> {
    const names = (Object.keys(study.graphs) as GraphName[]).filter((name) => !name.startsWith('trunk'));
    const graphs = new Map(names.map((name) => [name, graphOf(study, name)]));
    const table = await GraphTable.load(engine, graphs, (graph) => bindingsOf(graph, study.kept.segment));
    await engine.put(state);
    return new SegmentRunner(engine, study, table, clock);
  }

  /** The activations of a training batch, float32 [N, …cut]. Keeps what `backward` needs; dropout masks by input name. */
  async forward(x: Tensor, masks: Tensors): Promise<Tensor> {
    return one(
      await this.#busy.during(() => this.#engine.run(this.#run('segment-forward', { x, ...masks }, ['cut']))),
      'cut',
    );
  }

  /** The activations of records in inference form. */
  async evaluate(x: Tensor): Promise<Tensor> {
    return one(await this.#busy.during(() => this.#engine.run(this.#run('segment-evaluate', { x }, ['cut']))), 'cut');
  }

  /** Loss and backward pass of the head on the trunk's output. Its parameters' gradients stay at the engine. */
  async headStep(output: Tensor, feeds: Tensors): Promise<HeadStep> {
    const run = this.#run('head-step', { output, ...feeds }, ['loss', 'output.gradient']);
    const results = await this.#busy.during(() => this.#engine.run(run));
    return { loss: one(results, 'loss'), gradient: one(results, 'output.gradient') };
  }

  /** The network's output from the trunk's, in inference form. */
  async evaluateHead(output: Tensor): Promise<Tensor> {
    return one(await this.#busy.during(() => this.#engine.run(this.#run('head-evaluate', { output }, ['y']))), 'y');
  }

  /**
   * Backward pass of the batch that `forward` saw, and the update of segment and head by their own gradients. Takes the batch and its
   * gradient away from the caller.
   */
  async learn(x: Tensor, masks: Tensors, cutGradient: Tensor, hyper: Tensor): Promise<void> {
    const learn = this.#run('segment-learn', { x, ...masks, 'cut.gradient': cutGradient, hyper });
    const head = this.#study.parts.head ? [this.#run('head-update', { hyper })] : [];
    await this.#busy.during(() => this.#engine.runAll([{ ...learn, transfer: true }, ...head]));
  }

  /** Backward pass without an update: the gradients of all parameters at the site. Takes batch and gradient away as `learn` does. */
  async gradients(x: Tensor, masks: Tensors, cutGradient: Tensor): Promise<Record<string, Tensor>> {
    return this.#busy.during(async () => {
      const backward = this.#run('segment-backward', { x, ...masks, 'cut.gradient': cutGradient });
      await this.#engine.run({ ...backward, transfer: true });
      return this.#engine.get(this.#gradientNames());
    });
  }

  /** Updates segment and head by gradients from outside. */
  async update(gradients: Tensors, hyper: Tensor): Promise<void> {
    await this.#busy.during(async () => {
      await this.#engine.put(gradients);
      await this.#engine.runAll(this.parts.map((part) => this.#run(`${part}-update`, { hyper })));
    });
  }

  /** A copy of the parameters and statistics, with the optimizer's state if asked for. */
  async state(withSlots: boolean): Promise<Record<string, Tensor>> {
    return this.#engine.get(
      this.parts.flatMap((part) => stateTensors(part, this.#layout(part), withSlots).map((spec) => spec.name)),
    );
  }

  /** Replaces parameters, statistics or optimizer state by name. */
  async setState(state: Tensors): Promise<void> {
    await this.#engine.put(state);
  }

  /** Milliseconds of computing on batches and rows so far. */
  get computedMs(): number {
    return this.#busy.ms;
  }

  /** The parts at the site. */
  get parts(): readonly Part[] {
    return this.#study.parts.head ? ['segment', 'head'] : ['segment'];
  }

  #layout(part: Part): PartLayout {
    return (part === 'head' && this.#study.parts.head ? this.#study.parts.head : this.#study.parts.segment).layout;
  }

  #gradientNames(): string[] {
    return this.parts.flatMap((part) => this.#layout(part).groups.map((_, index) => `${part}.g${index}`));
  }

  #run(name: GraphName, feeds: Tensors, fetch: readonly string[] = []): Run {
    return this.#graphs.run(name, '', feeds, fetch);
  }
}

function one(results: Tensors, name: string): Tensor {
  return results[name] as Tensor;
}
