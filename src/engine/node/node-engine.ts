// The Engine of Node: turns calls into requests for its core and replies into results or typed errors.

import { EngineError, messageOf } from '../../base/index.ts';
import { writeModel, type Graph } from '../../onnx/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Engine, EngineInfo, LoadedGraph, PartedRun, Run } from '../engine.ts';
import { WholeRun } from '../whole-run.ts';
import { aligned, buffersOf, movable } from './buffers.ts';
import type { Channel } from './channel.ts';
import { type Lane, Lanes } from './lanes.ts';
import { lowerFile } from './lower-file.ts';
import { isBatched } from './check-run.ts';
import type { LoweredFile, Reply, Request, RunOrder, Tensors } from './messages.ts';
import { SpreadRun, type Thread } from './spread-run.ts';
import { digestOfForm, type TriedForms } from './tried-forms.ts';
import { Turns } from './turns.ts';

// Unique in the process, so that a graph of one engine is unknown to another instead of being taken for its own.
let graphCount = 0;
let runCount = 0;

/** How an engine lowers what it loads. */
export interface Lowering {
  /** Channels in a block of the provider's image kernels; absent when graphs run as they are. */
  readonly block?: number | undefined;
  /** Convolutions of 3 x 3 are computed in Winograd's transformed domain where that is less work. */
  readonly winograd?: boolean | undefined;
  /** Told when a graph that was lowered runs as it is after all. */
  readonly onRefusal?: ((graph: string, reason: string) => void) | undefined;
  /** Forms that are known to give their graphs' values. */
  readonly tried?: TriedForms | undefined;
  /** Starts the core of another thread; absent when runs are not spread. */
  readonly openLane?: (() => Channel) | undefined;
}

/** What the engine must know of a graph that it has loaded. */
interface Known {
  readonly batchedInputs: readonly string[];
  readonly batchedOutputs: ReadonlySet<string>;
  readonly spread: { readonly unit: number; readonly reads: ReadonlySet<string> } | undefined;
}

/** An Engine over a channel. Calls made before `close` settle as usual; `close` waits for them. */
export class NodeEngine implements Engine {
  readonly info: EngineInfo;
  readonly #channel: Channel;
  readonly #lowering: Lowering;
  readonly #turns = new Turns();
  readonly #lanes: Lanes | undefined;
  readonly #graphs = new Map<number, Known>();
  #closing: Promise<void> | undefined;

  constructor(info: EngineInfo, channel: Channel, lowering: Lowering = {}) {
    this.info = info;
    this.#channel = channel;
    this.#lowering = lowering;
    const { openLane } = lowering;
    if (openLane && info.workers > 1) this.#lanes = new Lanes(info.workers - 1, () => laneOver(openLane()));
  }

  async load(graph: Graph): Promise<LoadedGraph> {
    this.#checkOpen();
    const { name, inputs, outputs } = graph;
    const optional = inputs.filter((input) => graph.initializers.has(input.name)).map((input) => input.name);
    const bytes = writeModel(graph);
    const lowered = this.#lowerOrSay(graph);
    const untried = { id: ++graphCount, name, bytes, inputs, outputs, optional, lowered };
    const { tried } = this.#lowering;
    const digest = tried && lowered && digestOfForm(untried, lowered, this.info);
    const isKnown = digest !== undefined && tried?.has(digest) === true;
    const file = { ...untried, tried: isKnown };
    const units = lowered?.units;
    const spread = units?.spread === true ? units : undefined;
    // The other threads need copies, which are made before these bytes move to the engine's.
    const copy = spread && {
      ...file,
      bytes: new Uint8Array(),
      lowered: structuredClone({ ...lowered, units: { ...spread, rest: new Uint8Array() } }) as LoweredFile,
    };
    const buffers = [bytes, lowered?.bytes, units?.rest, units?.prepare].flatMap((each) => (each ? [each.buffer] : []));
    const { refusal } = await this.#ask({ kind: 'load', file }, buffers);
    if (refusal !== undefined) this.#lowering.onRefusal?.(name, refusal);
    else if (digest !== undefined && !isKnown) await tried?.add(digest);
    const spreads = copy !== undefined && refusal === undefined;
    if (spreads) await this.#lanes?.load(copy);
    this.#graphs.set(file.id, {
      batchedInputs: inputs.filter(isBatched).map((input) => input.name),
      batchedOutputs: new Set(outputs.filter(isBatched).map((output) => output.name)),
      spread: spreads
        ? { unit: spread?.records ?? 1, reads: new Set([...(spread?.inputs ?? []), ...(spread?.prepareInputs ?? [])]) }
        : undefined,
    });
    return { id: file.id, name };
  }

  /** The lowered graph. ONNX Runtime may well run what a lowering cannot follow, so that it fails is no reason to refuse the graph. */
  #lowerOrSay(graph: Graph): LoweredFile | undefined {
    const { block, winograd = false } = this.#lowering;
    if (block === undefined) return undefined;
    try {
      return lowerFile(graph, { block, winograd, spread: this.#lanes !== undefined });
    } catch (error) {
      this.#lowering.onRefusal?.(graph.name, messageOf(error));
      return undefined;
    }
  }

  async unload(graph: LoadedGraph): Promise<void> {
    const spread = this.#graphs.get(graph.id)?.spread;
    this.#graphs.delete(graph.id);
    await this.#request({ kind: 'unload', graphId: graph.id, graphName: graph.name });
    if (spread) await this.#lanes?.unload(graph.id, graph.name);
  }

  async put(tensors: Readonly<Record<string, Tensor>>, options: { readonly transfer?: boolean } = {}): Promise<void> {
    this.#checkOpen();
    const moved = movable(tensors, options.transfer === true);
    this.#lanes?.changed(Object.keys(moved));
    await this.#request({ kind: 'put', tensors: moved }, buffersOf([moved]));
  }

  async get(names: readonly string[]): Promise<Record<string, Tensor>> {
    const [tensors] = await this.#request({ kind: 'get', names: [...names] });
    return tensors ?? {};
  }

  async drop(names: readonly string[]): Promise<void> {
    this.#lanes?.changed(names);
    await this.#request({ kind: 'drop', names: [...names] });
  }

  async run(run: Run): Promise<Record<string, Tensor>> {
    const known = this.#graphs.get(run.graph.id);
    const batched = known?.batchedInputs ?? [];
    const records = run.feeds?.[batched[0] ?? '']?.dims[0] ?? 0;
    if (!known?.spread || records === 0 || !spreads(run, known)) {
      const [tensors] = await this.runAll([run]);
      return tensors ?? {};
    }
    const parted = this.begin({ ...run, feeds: without(run.feeds ?? {}, batched) });
    const rows = parted.add(Object.fromEntries(batched.map((name) => [name, run.feeds?.[name] as Tensor])));
    rows.catch(() => undefined); // The end rejects with it.
    const rest = await parted.end();
    return { ...(await rows), ...rest };
  }

  async runAll(runs: readonly Run[]): Promise<readonly Record<string, Tensor>[]> {
    this.#checkOpen();
    if (this.#channel.isAtOnce === true)
      return this.#request({ kind: 'run', orders: runs.map((run) => orderOf(run, aligned)) });
    const orders = runs.map((run) => orderOf(run, movable));
    this.#lanes?.changed(orders.flatMap(({ keep }) => Object.values(keep)));
    return this.#request({ kind: 'run', orders }, buffersOf(orders.map((order) => order.feeds)));
  }

  begin(run: Run): PartedRun {
    this.#checkOpen();
    const known = this.#graphs.get(run.graph.id);
    const lanes = this.#lanes;
    if (!lanes || !known?.spread || !spreads(run, known))
      return new WholeRun(this, run, known?.batchedOutputs ?? new Set());
    const fetch = run.fetch ?? [];
    const order = orderOf({ ...run, fetch: fetch.filter((name) => !known.batchedOutputs.has(name)) }, movable);
    const runId = ++runCount;
    const { reads, unit } = known.spread;
    const threads = [this.#beginHere(runId, order), ...this.#beginAt(lanes, runId, order, reads)];
    return new SpreadRun({
      runId,
      graphName: run.graph.name,
      fetch: fetch.filter((name) => known.batchedOutputs.has(name)),
      batched: known.batchedInputs.filter((name) => reads.has(name)),
      unit,
      threads,
      end: (sums) => this.#end(lanes, runId, order, reads, sums),
    });
  }

  #beginHere(runId: number, order: RunOrder): Thread {
    const begun = this.#request({ kind: 'begin', runId, order });
    begun.catch(() => undefined); // The run's units and end see it.
    return { ask: (request, transfer) => this.#request(request, transfer), begun };
  }

  /** Begins a run in the other threads, which first get the residents that they lack. */
  #beginAt(lanes: Lanes, runId: number, order: RunOrder, reads: ReadonlySet<string>): Thread[] {
    const resident = Object.fromEntries(Object.entries(order.resident).filter(([input]) => reads.has(input)));
    const feeds = Object.fromEntries(Object.entries(order.feeds).filter(([input]) => reads.has(input)));
    const missing = lanes.missing(new Set(Object.values(resident)));
    const ready = missing.length > 0 ? this.#share(lanes, missing) : undefined;
    ready?.catch(() => undefined);
    return lanes.all.map(({ ask }) => {
      const later: Thread['ask'] = (request, transfer) =>
        ready ? ready.then(() => ask(request, transfer)) : ask(request, transfer);
      const own: RunOrder = { ...order, feeds: movable(feeds, false), resident, keep: {}, fetch: [] };
      const begun = later({ kind: 'begin', runId, order: own });
      begun.catch(() => undefined);
      return { ask: later, begun };
    });
  }

  async #share(lanes: Lanes, names: readonly string[]): Promise<void> {
    const versions = new Map(names.map((name) => [name, lanes.versionOf(name)]));
    const [values] = await this.#request({ kind: 'get', names });
    await lanes.give(values ?? {}, versions);
  }

  /** Ends a spread run here, in its place among the calls, and gives the other threads the residents that it changed. */
  async #end(
    lanes: Lanes,
    runId: number,
    { keep, resident }: RunOrder,
    reads: ReadonlySet<string>,
    others: Promise<readonly Tensors[]>,
  ): Promise<Record<string, Tensor>> {
    const kept = new Set(Object.values(keep));
    lanes.changed(kept);
    const read = Object.entries(resident).flatMap(([input, name]) => (reads.has(input) ? [name] : []));
    const share = [...new Set(read)].filter((name) => kept.has(name));
    const versions = new Map(share.map((name) => [name, lanes.versionOf(name)]));
    const leave = this.#turns.reserve();
    let sums: readonly Tensors[];
    try {
      sums = await others;
    } catch (error) {
      leave(() => void this.#channel.send({ kind: 'sums', runId }, []).catch(() => undefined));
      throw error;
    }
    const reply = await new Promise<Reply>((resolve, reject) => {
      leave(() => void this.#channel.send({ kind: 'end', runId, sums, share }, buffersOf(sums)).then(resolve, reject));
    });
    const [fetched, shared] = resultsOf(reply).results;
    if (shared && share.length > 0) lanes.give(shared, versions).catch(() => lanes.changed(share));
    return fetched ?? {};
  }

  /** Has the sessions write what they have profiled. */
  async endProfile(): Promise<void> {
    await Promise.all([this.#request({ kind: 'end-profile' }), this.#lanes?.endProfile()]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // The core may be gone already; then there is nothing left to free.
    await this.#turns.take(() => this.#channel.send({ kind: 'close' }, [])).catch(() => undefined);
    await this.#channel.ended();
    await this.#lanes?.close();
  }

  #checkOpen(): void {
    if (this.#closing) throw new EngineError('engine-closed', 'the engine is closed');
  }

  async #request(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<readonly Tensors[]> {
    return (await this.#ask(request, transfer)).results;
  }

  async #ask(request: Request, transfer: readonly ArrayBuffer[]): Promise<Extract<Reply, { readonly ok: true }>> {
    this.#checkOpen();
    return resultsOf(await this.#turns.take(() => this.#channel.send(request, transfer)));
  }
}

/** Throws EngineError when the reply is one. */
function resultsOf(reply: Reply): Extract<Reply, { readonly ok: true }> {
  if (reply.ok) return reply;
  const cause = reply.cause === undefined ? {} : { cause: new Error(reply.cause) };
  throw new EngineError(reply.code, reply.message, cause);
}

/** Another thread, asked without regard to the calls on the engine. */
function laneOver(channel: Channel): Lane {
  return {
    ask: async (request, transfer = []) => resultsOf(await channel.send(request, transfer)).results,
    close: async () => {
      await channel.send({ kind: 'close' }, []).catch(() => undefined);
      await channel.ended();
    },
  };
}

/** Whether everything of a record comes from the caller and goes back to it. */
function spreads({ resident, keep }: Run, { batchedInputs, batchedOutputs }: Known): boolean {
  return (
    !batchedInputs.some((name) => resident && name in resident) &&
    !Object.keys(keep ?? {}).some((name) => batchedOutputs.has(name))
  );
}

function without<T>(values: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name)));
}

function orderOf(run: Run, given: typeof movable): RunOrder {
  return {
    graphId: run.graph.id,
    graphName: run.graph.name,
    feeds: given(run.feeds ?? {}, run.transfer === true),
    resident: run.resident ?? {},
    keep: run.keep ?? {},
    fetch: run.fetch ?? [],
  };
}
