// What an engine does where it computes: a table of loaded graphs, the resident tensors, and runs. It has one caller (the engine's
// thread, or InlineEngine), which makes one call at a time and waits for it. `session.run` computes synchronously inside.

import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { assert, EngineError, messageOf, type EngineErrorCode } from '../../base/index.ts';
import { cloneTensor, elementCount, type Tensor } from '../../tensor/index.ts';
import { checkInputs, checkOutputs, failed, type Declaration, type Given } from './check-run.ts';
import { ExitGate, gateWords } from './exit-gate.ts';
import type { CoreSettings, GraphFile, LoweredFile, RunOrder, Tensors } from './messages.ts';
import { batchOf, type LoweredSession } from './lowered.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { Residents, type Made } from './residents.ts';
import type { Fetches, Session, Values } from './session.ts';
import { SessionMaker } from './session-maker.ts';
import type { UnitsRun } from './units-run.ts';

interface LoadedSession extends Declaration {
  readonly file: GraphFile;
  /** The graph as it is; made when it is first needed where there is a lowered one. */
  standard: Session | undefined;
  readonly lowered: LoweredSession | undefined;
  readonly fileBytes: number;
}

/** A run that gets its records in parts. */
interface OpenRun {
  readonly graph: LoadedSession;
  readonly lowered: LoweredSession;
  readonly order: RunOrder;
  readonly units: UnitsRun;
}

/** Loads and runs graphs and holds tensors in the thread that calls it. Its caller makes one call at a time. */
export class SessionCore {
  readonly #settings: CoreSettings;
  readonly #gate: ExitGate;
  readonly #sessions: SessionMaker;
  readonly #graphs = new Map<number, LoadedSession>();
  readonly #residents = new Residents();
  readonly #open = new Map<number, OpenRun>();
  #fileBytes = 0;

  constructor(settings: CoreSettings, gate = new ExitGate(gateWords())) {
    this.#settings = settings;
    this.#gate = gate;
    this.#sessions = new SessionMaker(settings, gate);
  }

  /**
   * Makes a session of the file: of its lowered graph if it has one that gives the same values, else of the graph itself. Returns why
   * a lowered graph was refused. Throws EngineError `unsupported-operator` or `load-failed`.
   */
  load(file: GraphFile): string | undefined {
    const { id, name, inputs, outputs, optional, lowered: form } = file;
    const loweredBytes = form ? bytesOfForm(form) : 0;
    this.#checkRoom(file.bytes.byteLength + loweredBytes, 'load-failed', `graph ${name}`);
    const tried = form && this.#sessions.tried(file, form);
    const lowered = typeof tried === 'string' ? undefined : tried;
    const standard = lowered ? undefined : this.#sessions.open(name, file.bytes, 'standard');
    const kept = lowered ? file : { ...file, lowered: undefined };
    const fileBytes = file.bytes.byteLength + (lowered ? loweredBytes : 0);
    this.#graphs.set(id, { file: kept, name, inputs, outputs, optional, fileBytes, standard, lowered });
    this.#fileBytes += fileBytes;
    return typeof tried === 'string' ? tried : undefined;
  }

  /** Makes a session of what takes units in the file's lowered graph. Throws EngineError `unsupported-operator` or `load-failed`. */
  loadUnits(file: GraphFile): void {
    const { id, name, inputs, outputs, optional, lowered: form } = file;
    assert(form, 'a graph whose units other threads take is lowered');
    const fileBytes = bytesOfForm(form);
    this.#checkRoom(fileBytes, 'load-failed', `graph ${name}`);
    const lowered = this.#sessions.lowered(file, form);
    this.#graphs.set(id, { file, name, inputs, outputs, optional, fileBytes, standard: undefined, lowered });
    this.#fileBytes += fileBytes;
  }

  /** Frees the session. Throws EngineError `load-failed` when the graph is not loaded. */
  unload(graphId: number, name: string): void {
    const loaded = this.#graphs.get(graphId);
    if (!loaded) throw new EngineError('load-failed', `graph ${name} is not loaded in this engine`);
    this.#graphs.delete(graphId);
    this.#fileBytes -= loaded.fileBytes;
    this.#release(loaded);
  }

  /** Takes the tensors over as residents; their buffers are not copied. */
  put(tensors: Tensors): void {
    const entries = Object.entries(tensors);
    let growth = 0;
    for (const [name, value] of entries) growth += value.data.byteLength - this.#residents.bytesOf(name);
    this.#checkRoom(growth, 'run-failed', `put of ${entries.length} tensors`);
    for (const [name, value] of entries)
      checkLength(value, (problem) => failed({ name: 'put' }, `"${name}": ${problem}`));
    const views = new Map<ArrayBufferLike, number>();
    for (const [, { data }] of entries) views.set(data.buffer, (views.get(data.buffer) ?? 0) + 1);
    for (const [name, value] of entries) {
      // The engine's own, whole, and under one name: the next value but one may be written there.
      const { data } = value;
      const sole = views.get(data.buffer) === 1 && data.byteLength === data.buffer.byteLength;
      this.#residents.set(name, toOrt(value), sole);
    }
  }

  /** Copies of residents. Throws EngineError `run-failed` for a name that is not resident. */
  get(names: readonly string[]): Tensors {
    const copies: Tensors = {};
    for (const name of names) {
      const tensor = this.#residents.get(name);
      if (!tensor) throw new EngineError('run-failed', `no tensor called "${name}" is resident in this engine`);
      copies[name] = cloneTensor(fromOrt(tensor));
    }
    return copies;
  }

  /** Forgets residents. */
  drop(names: readonly string[]): void {
    for (const name of names) this.#residents.drop(name);
  }

  /** Runs a graph; the fetched tensors' buffers belong to the caller. A failed run changes no resident. */
  run(order: RunOrder): Tensors {
    const graph = this.#graphs.get(order.graphId);
    if (!graph) throw failed({ name: order.graphName }, 'it is not loaded in this engine');
    const given = this.#feedsOf(graph, order);
    const fetches = this.#fetchesOf(graph, order);
    const results = reworded(graph, () => {
      if (graph.lowered?.takes(batchOf(graph, given))) return graph.lowered.run(given, fetches);
      const session = this.#standardOf(graph);
      return this.#gate.through(() => session.run(given, fetches));
    });
    return this.#take(graph, order, fetches, results);
  }

  /** Begins a run in parts of a graph whose lowered form takes units. */
  begin(runId: number, order: RunOrder): void {
    const graph = this.#graphs.get(order.graphId);
    const lowered = graph?.lowered;
    if (!graph || !lowered) throw failed({ name: order.graphName }, 'it is not loaded in this engine');
    const { unitsRead } = lowered;
    const feeds: Tensors = {};
    const resident: Record<string, string> = {};
    for (const { name } of unitsRead.inputs) {
      if (order.feeds[name]) feeds[name] = order.feeds[name];
      if (order.resident[name] !== undefined) resident[name] = order.resident[name];
    }
    const given = this.#feedsOf(unitsRead, { feeds, resident });
    const units = reworded(graph, () => lowered.begin(given));
    this.#open.set(runId, { graph, lowered, order, units });
  }

  /** Takes the rows of the next unit of this thread; the fetched rows' buffers belong to the caller. */
  add(runId: number, rows: Tensors, fetch: readonly string[]): Tensors {
    const { graph, lowered, units } = this.#openRun(runId);
    const given = this.#feedsOf(lowered.rowsRead, { feeds: rows, resident: {} });
    return reworded(graph, () => units.add(given, fetch));
  }

  /** Ends a run in parts without its rest; the sums belong to the caller. */
  takeSums(runId: number): Tensors {
    const sums = this.#open.get(runId)?.units.takeSums() ?? {};
    this.#open.delete(runId);
    return sums;
  }

  /** Ends a run in parts: what is not of a record is computed, from this thread's sums and then the others', and kept or given back. */
  end(runId: number, others: readonly Tensors[]): Tensors {
    const { graph, lowered, order } = this.#openRun(runId);
    const sums = [this.takeSums(runId), ...others];
    const given = this.#feedsOf(lowered.endReads, order);
    const fetches = this.#fetchesOf(graph, order);
    return this.#take(
      graph,
      order,
      fetches,
      reworded(graph, () => lowered.end(sums, given, fetches)),
    );
  }

  /** Writes what the sessions have profiled so far; they go on without. */
  endProfile(): void {
    this.#sessions.endProfile();
  }

  /** Frees every session and forgets every tensor. */
  close(): void {
    const sessions = [...this.#graphs.values()];
    this.#graphs.clear();
    this.#open.clear();
    this.#residents.clear();
    this.#fileBytes = 0;
    for (const loaded of sessions) this.#release(loaded);
  }

  #release({ standard, lowered }: LoadedSession): void {
    if (standard) this.#sessions.close(standard);
    lowered?.release();
  }

  #standardOf(graph: LoadedSession): Session {
    graph.standard ??= this.#sessions.open(graph.name, graph.file.bytes, 'standard');
    return graph.standard;
  }

  #feedsOf(graph: Declaration, order: Pick<RunOrder, 'feeds' | 'resident'>): Record<string, OrtTensor> {
    const feeds: Record<string, OrtTensor> = {};
    const given = new Map<string, Given>();
    for (const input in order.feeds) given.set(input, order.feeds[input] as Tensor);
    for (const input in order.resident) {
      const name = order.resident[input] as string;
      const tensor = this.#residents.get(name);
      if (!tensor) throw failed(graph, `input "${input}": no tensor called "${name}" is resident; put it first`);
      if (given.has(input)) throw failed(graph, `input "${input}" is in feeds and in resident; give it once`);
      given.set(input, { dtype: tensor.type as Given['dtype'], dims: tensor.dims });
      feeds[input] = tensor;
    }
    checkInputs(graph, given);
    for (const input in order.feeds) {
      const value = order.feeds[input] as Tensor;
      checkLength(value, (problem) => failed(graph, `input "${input}": ${problem}`));
      feeds[input] = toOrt(value);
    }
    return feeds;
  }

  #fetchesOf(graph: LoadedSession, order: RunOrder): Record<string, OrtTensor | null> {
    const asked = new Set([...order.fetch, ...Object.keys(order.keep)]);
    checkOutputs(graph, asked);
    if (new Set(Object.values(order.keep)).size < Object.keys(order.keep).length)
      throw failed(graph, 'two outputs are kept under one name; each needs its own');
    const fetches: Record<string, OrtTensor | null> = {};
    for (const { name, dtype, dims } of graph.outputs) {
      if (!asked.has(name)) continue;
      const kept = order.keep[name];
      fetches[name] = (kept === undefined ? undefined : this.#residents.spareOf(kept, dtype, dims)) ?? null;
    }
    // ONNX Runtime takes an empty set of outputs for all of them; a run that asks for none gets one, and it is dropped.
    const [first] = graph.outputs;
    if (first && asked.size === 0) fetches[first.name] = null;
    return fetches;
  }

  /** What is fetched, after keeping what is to be kept. */
  #take(graph: LoadedSession, order: RunOrder, fetches: Fetches, results: Values): Tensors {
    const fetched: Tensors = {};
    for (const name of order.fetch) {
      const value = fromOrt(resultOf(graph, results, name));
      fetched[name] = name in order.keep ? cloneTensor(value) : value;
    }
    this.#keep(graph, order, fetches, results);
    return fetched;
  }

  #openRun(runId: number): OpenRun {
    const open = this.#open.get(runId);
    if (!open) throw new EngineError('run-failed', 'a run that was not begun, or has ended, was given records');
    return open;
  }

  #keep(graph: LoadedSession, order: RunOrder, fetches: Fetches, results: Values): void {
    const made: Made[] = Object.entries(order.keep).map(([output, name]) => ({
      name,
      result: resultOf(graph, results, output),
      spare: fetches[output] ?? undefined,
      steady: graph.outputs.some(({ name: declared, dims }) => declared === output && dims.every(Number.isInteger)),
    }));
    const growth = made.reduce((sum, one) => sum + this.#residents.growthOf(one), 0);
    this.#checkRoom(growth, 'run-failed', `graph ${graph.name}: its kept outputs`);
    for (const one of made) this.#residents.accept(one);
  }

  #checkRoom(growth: number, code: EngineErrorCode, what: string): void {
    const held = this.#residents.bytes + this.#fileBytes;
    if (growth <= 0 || held + growth <= this.#settings.bytesMax) return;
    throw new EngineError(
      code,
      `${what}: needs ${growth} bytes more, but the engine holds ${held} of the ${this.#settings.bytesMax} it may hold; drop tensors or open the engine with a larger bytesMax`,
    );
  }
}

function checkLength(value: Tensor, error: (problem: string) => EngineError): void {
  const needed = elementCount(value.dims);
  const got = value.data.length;
  if (got === needed) return;
  const hint = got === 0 ? '; its buffer may have been transferred by an earlier call' : '';
  throw error(`[${value.dims.join(', ')}] needs ${needed} elements, got ${got}${hint}`);
}

/** What ONNX Runtime does, with the graph's name in what it complains of. */
function reworded<T>(graph: Declaration, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw failed(graph, `ONNX Runtime could not run it: ${messageOf(cause)}`, cause);
  }
}

function bytesOfForm({ bytes, units }: LoweredFile): number {
  return bytes.byteLength + (units?.prepare?.byteLength ?? 0) + (units?.rest.byteLength ?? 0);
}

function resultOf(graph: Declaration, results: Values, name: string): OrtTensor {
  const value = results[name];
  if (!value) throw failed(graph, `ONNX Runtime gave no output "${name}"`);
  return value;
}
