// The Engine of Node: turns calls into requests for its core and replies into results or typed errors.

import { EngineError, messageOf } from '../../base/index.ts';
import { type InUnits, inUnits, lowerToBlocks } from '../../lower/index.ts';
import { writeModel, type Graph } from '../../onnx/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Engine, EngineInfo, LoadedGraph, Run } from '../engine.ts';
import { buffersOf, movable } from './buffers.ts';
import type { Channel } from './channel.ts';
import type { LoweredFile, Reply, Request, RunOrder, Tensors } from './messages.ts';

// Unique in the process, so that a graph of one engine is unknown to another instead of being taken for its own.
let graphCount = 0;

/** How an engine lowers what it loads. */
export interface Lowering {
  /** Channels in a block of the provider's image kernels; absent when graphs run as they are. */
  readonly block?: number | undefined;
  /** Told when a graph that was lowered runs as it is after all. */
  readonly onRefusal?: ((graph: string, reason: string) => void) | undefined;
}

/** An Engine over a channel. Calls made before `close` settle as usual; `close` waits for them. */
export class NodeEngine implements Engine {
  readonly info: EngineInfo;
  readonly #channel: Channel;
  readonly #lowering: Lowering;
  #closing: Promise<void> | undefined;

  constructor(info: EngineInfo, channel: Channel, lowering: Lowering = {}) {
    this.info = info;
    this.#channel = channel;
    this.#lowering = lowering;
  }

  async load(graph: Graph): Promise<LoadedGraph> {
    this.#checkOpen();
    const { name, inputs, outputs } = graph;
    const optional = inputs.filter((input) => graph.initializers.has(input.name)).map((input) => input.name);
    const bytes = writeModel(graph);
    const lowered = this.#lowerOrSay(graph);
    const file = { id: ++graphCount, name, bytes, inputs, outputs, optional, lowered };
    const buffers = [bytes, lowered?.bytes, lowered?.units?.rest].flatMap((each) => (each ? [each.buffer] : []));
    const { refusal } = await this.#ask({ kind: 'load', file }, buffers);
    if (refusal !== undefined) this.#lowering.onRefusal?.(name, refusal);
    return { id: file.id, name };
  }

  /** The lowered graph. ONNX Runtime may well run what a lowering cannot follow, so that it fails is no reason to refuse the graph. */
  #lowerOrSay(graph: Graph): LoweredFile | undefined {
    try {
      return this.#lower(graph);
    } catch (error) {
      this.#lowering.onRefusal?.(graph.name, messageOf(error));
      return undefined;
    }
  }

  #lower(graph: Graph): LoweredFile | undefined {
    const { block } = this.#lowering;
    if (block === undefined) return undefined;
    const paddable = graph.metadata['records'] === 'independent' && haveOneBatch(graph);
    const parts = paddable ? inUnits(graph) : undefined;
    const records = parts ? unitOf(parts, block) : Infinity;
    const lowered = lowerToBlocks(parts && records < unitsWorthwhile ? parts.records : graph, block);
    if (!lowered) return undefined;
    const bytes = writeModel(lowered.graph);
    const { recordsMultiple } = lowered;
    if (!parts || records >= unitsWorthwhile) return { bytes, recordsMultiple, paddable };
    const names = (values: readonly { readonly name: string }[]) => values.map(({ name }) => name);
    const units = {
      records,
      inputs: names(parts.records.inputs),
      outputs: names(parts.records.outputs),
      sums: names(parts.sums),
      rest: writeModel(parts.rest),
      restInputs: names(parts.rest.inputs),
    };
    return { bytes, recordsMultiple, paddable, units };
  }

  async unload(graph: LoadedGraph): Promise<void> {
    await this.#request({ kind: 'unload', graphId: graph.id, graphName: graph.name });
  }

  async put(tensors: Readonly<Record<string, Tensor>>, options: { readonly transfer?: boolean } = {}): Promise<void> {
    this.#checkOpen();
    const moved = movable(tensors, options.transfer === true);
    await this.#request({ kind: 'put', tensors: moved }, buffersOf([moved]));
  }

  async get(names: readonly string[]): Promise<Record<string, Tensor>> {
    const [tensors] = await this.#request({ kind: 'get', names: [...names] });
    return tensors ?? {};
  }

  async drop(names: readonly string[]): Promise<void> {
    await this.#request({ kind: 'drop', names: [...names] });
  }

  async run(run: Run): Promise<Record<string, Tensor>> {
    const [tensors] = await this.runAll([run]);
    return tensors ?? {};
  }

  async runAll(runs: readonly Run[]): Promise<readonly Record<string, Tensor>[]> {
    this.#checkOpen();
    const orders = runs.map(orderOf);
    return this.#request({ kind: 'run', orders }, buffersOf(orders.map((order) => order.feeds)));
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
    await this.#channel.send({ kind: 'close' }, []).catch(() => undefined);
    await this.#channel.ended();
  }

  #checkOpen(): void {
    if (this.#closing) throw new EngineError('engine-closed', 'the engine is closed');
  }

  async #request(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<readonly Tensors[]> {
    return (await this.#ask(request, transfer)).results;
  }

  async #ask(request: Request, transfer: readonly ArrayBuffer[]): Promise<Extract<Reply, { readonly ok: true }>> {
    this.#checkOpen();
    const reply = await this.#channel.send(request, transfer);
    if (reply.ok) return reply;
    const cause = reply.cause === undefined ? {} : { cause: new Error(reply.cause) };
    throw new EngineError(reply.code, reply.message, cause);
  }
}

/** Bytes of values that a unit may make: all of them, of which about a fifth live at once. */
const unitBytes = 6 * 2 ** 30;
/** From this size on a unit is about as large as a batch, and the graph is taken whole: a unit costs its own copies of the sums. */
const unitsWorthwhile = 64;

/** Records in a unit: whole blocks, one at least. */
function unitOf({ recordBytes }: InUnits, block: number): number {
  return Math.max(block, Math.floor(unitBytes / Math.max(1, recordBytes) / block) * block);
}

/** Whether everything that comes or goes a record at a time does so in the one batch N. */
function haveOneBatch({ inputs, outputs }: Graph): boolean {
  return [...inputs, ...outputs].every(({ dims }) =>
    dims.every((dim, axis) => typeof dim === 'number' || (axis === 0 && dim === 'N')),
  );
}

function orderOf(run: Run): RunOrder {
  return {
    graphId: run.graph.id,
    graphName: run.graph.name,
    feeds: movable(run.feeds ?? {}, run.transfer === true),
    resident: { ...run.resident },
    keep: { ...run.keep },
    fetch: [...(run.fetch ?? [])],
  };
}
