// The site's part of the network at its engine: the privacy-preserving layer and whatever else lies before the cut and, with the labels
// at the site, the head. Parameters and optimizer state live in the engine; batches go in, activations and gradients come out.
//
// With a window of W steps up to W batches are in flight, and the backward pass of each takes the parameters of its own forward pass. So
// there are W + 1 sets of the parameters' names at the engine: an update reads one and leaves what it makes in the next, in turn. While
// nothing is in flight the parameters have their plain names.
//
// A small network learns from a batch in one run with the next one's forward pass: until that comes, or somebody asks for what it has
// learnt, it owes it.

import { BusyTime, type Clock } from '../base/index.ts';
import { type Engine, GraphTable, type Run } from '../engine/index.ts';
import type { Graph } from '../onnx/index.ts';
import { type PartLayout, stateTensors } from '../protocol/index.ts';
import {
  bindingsInFlight,
  type CompiledStudy,
  type GraphName,
  graphOf,
  type InFlight,
  learnForwardGraph,
  NEXT,
} from '../split/index.ts';
import type { Tensor } from '../tensor/index.ts';

type Part = 'segment' | 'head';
type SiteGraph = GraphName | 'segment-learn-forward';
type Tensors = Readonly<Record<string, Tensor>>;

/** A batch between its forward and its backward pass. */
export interface Flight {
  readonly x: Tensor;
  readonly masks: Tensors;
  readonly at: InFlight;
}

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
  readonly #graphs: GraphTable<SiteGraph, InFlight>;
  readonly #busy: BusyTime;
  readonly #window: number;
  /** By version of the parameters and place of the batch. */
  readonly #places: readonly (readonly InFlight[])[];
  /** Whether learning and the next forward pass are one run. */
  readonly #together: boolean;
  /** What the segment is yet to learn from, as `segment-learn` takes it. */
  #owed: Tensors | undefined;
  /** The version of the parameters that is current; 0 has the plain names. */
  #version = 0;
  /** Batches that went up so far. */
  #forwards = 0;

  private constructor(
    engine: Engine,
    study: CompiledStudy,
    graphs: GraphTable<SiteGraph, InFlight>,
    { window, clock, together }: { readonly window: number; readonly clock: Clock; readonly together: boolean },
  ) {
    this.#engine = engine;
    this.#study = study;
    this.#graphs = graphs;
    this.#busy = new BusyTime(() => clock.nowMs());
    this.#window = window;
    this.#together = together;
    const versions = window > 1 ? window + 1 : 1;
    const named = (what: string, index: number) => (index === 0 ? '' : `${what}${index}/`);
    this.#places = Array.from({ length: versions }, (_, version) =>
      Array.from({ length: window }, (_batch, batch) => ({
        parameters: named('version', version),
        next: named('version', (version + 1) % versions),
        batch: named('batch', batch),
      })),
    );
  }

  /** Loads the site's graphs and puts the starting state at the engine. `window`: batches that may be in flight. */
  static async open(
    engine: Engine,
    study: CompiledStudy,
    state: Tensors,
    options: { readonly window: number; readonly clock: Clock },
  ): Promise<SegmentRunner> {
    const names = (Object.keys(study.graphs) as GraphName[]).filter((name) => !name.startsWith('trunk'));
    const graphs = new Map<SiteGraph, Graph>(names.map((name) => [name, graphOf(study, name)]));
    const both = learnForwardGraph(study);
    if (both) graphs.set('segment-learn-forward', both);
    const bind = (graph: Graph, at: InFlight) => bindingsInFlight(graph, study.kept.segment, at);
    const table = await GraphTable.load(engine, graphs, bind);
    await engine.put(state);
    return new SegmentRunner(engine, study, table, { ...options, together: both !== undefined });
  }

  /**
   * The activations of a training batch, float32 [N, …cut]; dropout masks by input name. Keeps what `learn` or `gradients` needs of it,
   * which must come to it before the window's length more batches do.
   */
  async forward(x: Tensor, masks: Tensors): Promise<{ readonly cut: Tensor; readonly flight: Flight }> {
    const at = this.#places[this.#version]?.[this.#forwards++ % this.#window] as InFlight;
    const owed = this.#owed;
    this.#owed = undefined;
    const cut = owed ? `${NEXT}cut` : 'cut';
    const run = owed
      ? this.#run('segment-learn-forward', { ...owed, ...ofNext({ x, ...masks }) }, [cut], at)
      : this.#run('segment-forward', { x, ...masks }, [cut], at);
    return { cut: one(await this.#busy.during(() => this.#engine.run(run)), cut), flight: { x, masks, at } };
  }

  /** The activations of records in inference form. */
  async evaluate(x: Tensor): Promise<Tensor> {
    await this.#settle();
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
   * Backward pass of a batch with the parameters of its forward pass, and the update of segment and head by their own gradients. Takes the
   * batch and its gradient away from the caller. Resolves when this is done, or is left to the next `forward`; see `learnOwed`.
   */
  async learn({ x, masks, at }: Flight, cutGradient: Tensor, hyper: Tensor): Promise<void> {
    const feeds = { x, ...masks, 'cut.gradient': cutGradient };
    if (this.#together) {
      this.#owed = { ...feeds, hyper };
      return;
    }
    const runs: Run[] = [];
    if (this.#study.graphs['segment-learn']) {
      runs.push({ ...this.#run('segment-learn', { ...feeds, hyper }), transfer: true });
      if (this.#study.parts.head) runs.push(this.#run('head-update', { hyper }));
    } else {
      runs.push({ ...this.#run('segment-backward', feeds, [], at), transfer: true }, ...this.#updates(hyper));
    }
    await this.#busy.during(() => this.#engine.runAll(runs));
  }

  /** Backward pass without an update: the gradients of all parameters at the site. Takes batch and gradient away as `learn` does. */
  async gradients({ x, masks, at }: Flight, cutGradient: Tensor): Promise<Record<string, Tensor>> {
    return this.#busy.during(async () => {
      const backward = this.#run('segment-backward', { x, ...masks, 'cut.gradient': cutGradient }, [], at);
      await this.#engine.run({ ...backward, transfer: true });
      return this.#engine.get(this.#gradientNames());
    });
  }

  /** Updates segment and head by gradients from outside. */
  async update(gradients: Tensors, hyper: Tensor): Promise<void> {
    await this.#busy.during(async () => {
      await this.#engine.put(gradients);
      await this.#engine.runAll(this.#updates(hyper));
    });
  }

  /** A copy of the parameters and statistics, with the optimizer's state if asked for. */
  async state(withSlots: boolean): Promise<Record<string, Tensor>> {
    await this.#settle();
    return this.#engine.get(
      this.parts.flatMap((part) => stateTensors(part, this.#layout(part), withSlots).map((spec) => spec.name)),
    );
  }

  /** Replaces parameters, statistics or optimizer state by name. */
  async setState(state: Tensors): Promise<void> {
    await this.#settle();
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

  /** The update of each part: what it makes is the next version, and from the next call on the current one. */
  #updates(hyper: Tensor): Run[] {
    const runs = this.parts.map((part) => this.#run(`${part}-update`, { hyper }));
    this.#version = (this.#version + 1) % this.#places.length;
    return runs;
  }

  /** Makes up for what `learn` left to the next forward pass. */
  async learnOwed(): Promise<void> {
    const owed = this.#owed;
    this.#owed = undefined;
    if (owed) await this.#busy.during(() => this.#engine.run(this.#run('segment-learn', owed)));
  }

  /** Gives the parameters their plain names again. Nothing is in flight. */
  async #settle(): Promise<void> {
    await this.learnOwed();
    if (this.#version === 0) return;
    const { parameters } = this.#place;
    const names = this.parts.flatMap((part) => this.#layout(part).groups.map((_, index) => `${part}.w${index}`));
    this.#version = 0;
    const values = await this.#engine.get(names.map((name) => parameters + name));
    await this.#engine.put(Object.fromEntries(names.map((name) => [name, values[parameters + name] as Tensor])));
  }

  /** The current version's names. */
  get #place(): InFlight {
    return this.#places[this.#version]?.[0] as InFlight;
  }

  #run(name: SiteGraph, feeds: Tensors, fetch: readonly string[] = [], at = this.#place): Run {
    return this.#graphs.run(name, at, feeds, fetch);
  }
}

/** The inputs of a forward pass as `segment-learn-forward` calls them. */
function ofNext(feeds: Tensors): Tensors {
  const named: Record<string, Tensor> = {};
  for (const name in feeds) named[NEXT + name] = feeds[name] as Tensor;
  return named;
}

function one(results: Tensors, name: string): Tensor {
  return results[name] as Tensor;
}
