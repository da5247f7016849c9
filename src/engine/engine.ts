// The seam between Septum and whatever computes. An engine loads ONNX graphs, holds named tensors (parameters, optimizer state,
// activations kept for backward) where it computes, and runs one graph at a time on them. It never blocks the caller's event loop.
//
// Order: calls on one engine take effect in the order they were made; each promise settles when its call is done.
// After `close` (or a crash of its thread) every call rejects with EngineError `engine-closed`.

import type { Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';

/** ONNX Runtime's execution providers that an engine can be opened with. */
export const providers = ['cpu', 'webgpu', 'cuda', 'dml', 'coreml'] as const;
export type Provider = (typeof providers)[number];

/** What a commit records, because the bits of a result depend on it. */
export interface EngineInfo {
  readonly runtime: string;
  readonly version: string;
  readonly provider: Provider;
  /** Threads of one graph run; 1 or more. */
  readonly threads: number;
  /** Threads that take the units of a run side by side, each alone; 1 where runs are not divided. */
  readonly workers: number;
  readonly lowering: string;
  /** How far the runtime itself rewrites graphs, in its own words, where it can be told. */
  readonly optimization?: string;
}

/** What going on with another engine than a commit's changes, in words; undefined where it is the same. `before` is as a commit holds it. */
export function changeOfEngine(before: unknown, now: EngineInfo): string | undefined {
  const [made, goes] = [JSON.stringify(before), JSON.stringify(now)];
  if (made === goes) return undefined;
  return `the commit was made by another engine (${made}) than goes on with it (${goes}): the result will not have the same bits`;
}

/** A graph that was loaded into one engine; meaningless in another. */
export interface LoadedGraph {
  readonly id: number;
  readonly name: string;
}

/** One run of a graph. Every input comes from `feeds` or `resident`, every output goes to `keep` or `fetch`; an output in neither is dropped. */
export interface Run {
  readonly graph: LoadedGraph;
  /** Inputs by name from the caller. With `transfer` their buffers are moved to the engine and must not be used again. */
  readonly feeds?: Readonly<Record<string, Tensor>>;
  readonly transfer?: boolean;
  /** Inputs by name that are held by the engine: input name → resident name. */
  readonly resident?: Readonly<Record<string, string>>;
  /** Outputs that become resident: output name → resident name (replacing what was there, after the run). */
  readonly keep?: Readonly<Record<string, string>>;
  /** Outputs that come back to the caller, who owns them. */
  readonly fetch?: readonly string[];
}

/**
 * A run whose records come in parts. An engine may compute on the first while the others are still under way; how the records were divided
 * into parts changes no bit.
 */
export interface PartedRun {
  /**
   * Takes the next records: their rows of every batched input, which are copied at once; with `transfer` their buffers may be moved to the
   * engine and must not be used again. Resolves with their rows of the fetched batched outputs when they are known, which may be when the
   * run ends: do not wait for it before `end` is called.
   */
  add(
    rows: Readonly<Record<string, Tensor>>,
    options?: { readonly transfer?: boolean },
  ): Promise<Record<string, Tensor>>;
  /** All records are there: computes what is not of a record, and keeps what is to be kept. Resolves with the other fetched outputs. */
  end(): Promise<Record<string, Tensor>>;
}

/** Loads and runs graphs; holds tensors. */
export interface Engine {
  readonly info: EngineInfo;
  /** Prepares a graph. Throws EngineError `load-failed` or `unsupported-operator`. */
  load(graph: Graph): Promise<LoadedGraph>;
  unload(graph: LoadedGraph): Promise<void>;
  /** Sets resident tensors, replacing those of the same name. The data is copied unless `transfer` is given. */
  put(tensors: Readonly<Record<string, Tensor>>, options?: { readonly transfer?: boolean }): Promise<void>;
  /** Copies of resident tensors. Throws EngineError `run-failed` when a name is not resident. */
  get(names: readonly string[]): Promise<Record<string, Tensor>>;
  /** Forgets resident tensors; names that are not there are ignored. */
  drop(names: readonly string[]): Promise<void>;
  /** Runs a graph and gives the fetched outputs. A failed run changes no resident tensor. */
  run(run: Run): Promise<Record<string, Tensor>>;
  /** Runs several in order in one hop to the engine; the results are in the same order. Stops at the first that fails. */
  runAll(runs: readonly Run[]): Promise<readonly Record<string, Tensor>[]>;
  /**
   * Begins a run that gets its batched inputs in parts; `feeds` has the others. What it reads of residents must not be replaced before it
   * ends. It takes its place in the order of calls when it ends; a run that is never ended leaves no resident changed.
   */
  begin(run: Run): PartedRun;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
