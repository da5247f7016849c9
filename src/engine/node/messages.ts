// What the calling thread and the engine's thread say to each other. Every request gets one reply, in the order of the requests.

import type { EngineErrorCode } from '../../base/index.ts';
import type { ValueInfo } from '../../onnx/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Provider } from '../engine.ts';
import type { GateWords } from './exit-gate.ts';

/** Tensors by name. */
export type Tensors = Record<string, Tensor>;

/** How far ONNX Runtime rewrites a graph before it runs it; its own words. */
export type Optimization = 'disabled' | 'basic' | 'extended' | 'layout' | 'all';

/** What an engine's sessions are made with. */
export interface CoreSettings {
  readonly provider: Provider;
  /** Threads of one graph run. */
  readonly threads: number;
  /** Idle threads of a session spin instead of sleeping. */
  readonly spinning: boolean;
  readonly optimization: Optimization;
  /** Every session writes a file of when each of its operators ran; the files' names begin with this path. */
  readonly profilePrefix?: string | undefined;
  /** Bound on the bytes of resident tensors, spare buffers and loaded files together. */
  readonly bytesMax: number;
}

/** What the engine's thread is started with. */
export interface ThreadStart {
  readonly settings: CoreSettings;
  readonly gate: GateWords;
}

/** A graph as an `.onnx` file, with what a run is checked against. */
export interface GraphFile {
  readonly id: number;
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Names of inputs that have an initializer of the same name: they may be left out of a run. */
  readonly optional: readonly string[];
  readonly lowered?: LoweredFile | undefined;
  /** The lowered form has been tried before, and is not tried again. */
  readonly tried?: boolean;
}

/** The same graph rewritten for this provider. */
export interface LoweredFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** It takes a batch only where this divides its records. */
  readonly recordsMultiple: number;
  /** Records may be added: one of zeros changes nothing but its own rows. */
  readonly paddable: boolean;
  readonly units?: UnitsFile | undefined;
}

/** The file takes a batch in units and puts out sums over the records; what is done with them is a file of its own. */
export interface UnitsFile {
  /** Records in a unit, a multiple of `recordsMultiple`. */
  readonly records: number;
  /** Units are taken side by side, each by one thread. */
  readonly spread: boolean;
  /** Inputs of the part that sees the records. */
  readonly inputs: readonly string[];
  readonly sums: readonly string[];
  /** What that part reads and no record changes, computed once for all units. */
  readonly prepare?: Uint8Array<ArrayBuffer> | undefined;
  readonly prepareInputs: readonly string[];
  readonly rest: Uint8Array<ArrayBuffer>;
  readonly restInputs: readonly string[];
}

/** One run, as engine.ts defines it, with the graph as its number. */
export interface RunOrder {
  readonly graphId: number;
  readonly graphName: string;
  readonly feeds: Tensors;
  readonly resident: Readonly<Record<string, string>>;
  readonly keep: Readonly<Record<string, string>>;
  readonly fetch: readonly string[];
}

/**
 * What the engine's thread is asked to do. A run in parts is begun in every thread that takes units of it; `sums` ends it in a thread that
 * gives them away, `end` in the one that has the residents.
 */
export type Request =
  | { readonly kind: 'load'; readonly file: GraphFile }
  /** Only what units need, of a lowered graph that another thread has tried. */
  | { readonly kind: 'load-units'; readonly file: GraphFile }
  | { readonly kind: 'unload'; readonly graphId: number; readonly graphName: string }
  | { readonly kind: 'put'; readonly tensors: Tensors }
  | { readonly kind: 'get'; readonly names: readonly string[] }
  | { readonly kind: 'drop'; readonly names: readonly string[] }
  | { readonly kind: 'run'; readonly orders: readonly RunOrder[] }
  | { readonly kind: 'begin'; readonly runId: number; readonly order: RunOrder }
  | { readonly kind: 'add'; readonly runId: number; readonly rows: Tensors; readonly fetch: readonly string[] }
  | { readonly kind: 'sums'; readonly runId: number }
  /** `sums`: what other threads have. `share`: residents of which copies come back as well. */
  | {
      readonly kind: 'end';
      readonly runId: number;
      readonly sums: readonly Tensors[];
      readonly share: readonly string[];
    }
  /** Writes the sessions' profiles. */
  | { readonly kind: 'end-profile' }
  | { readonly kind: 'close' };

/** The reply to the oldest request that has none: tensors for `get`, `add`, `sums` (one set), `end` (two) and `run` (one a run), else none. */
export type Reply =
  | {
      readonly ok: true;
      readonly results: readonly Tensors[];
      /** `load`: why the graph runs as it is and not lowered. */
      readonly refusal?: string | undefined;
    }
  | {
      readonly ok: false;
      readonly code: EngineErrorCode;
      readonly message: string;
      readonly cause: string | undefined;
    };
