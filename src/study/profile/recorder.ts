// What a process of a study did and when, over some of its steps: calls on its engine, messages, records loaded, commits. Times are of the
// machine's monotonic clock, which all its processes share.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { OpenedData } from '../../data/index.ts';
import { type Engine, watchEngine } from '../../engine/index.ts';
import type { EngineOptions } from '../../engine/node/index.ts';
import { kindOfFrame } from '../../protocol/index.ts';
import type { CommitStore } from '../../store/index.ts';
import { type Connection, type Listener, throughConnection } from '../../transport/index.ts';

/** What is done in a span. */
export type SpanKind = 'engine' | 'send' | 'receive' | 'data' | 'commit';

/** One piece of work or waiting; microseconds of the machine's clock. */
export interface Span {
  readonly kind: SpanKind;
  readonly name: string;
  readonly fromUs: number;
  readonly toUs: number;
  readonly bytes?: number;
}

/** What one process recorded. */
export interface ProcessProfile {
  /** `server`, or the site's name. */
  readonly process: string;
  readonly spans: readonly Span[];
  /** When the first step that counts began, and the last one ended; undefined for a process that did not come so far. */
  readonly window: { readonly fromUs: number; readonly toUs: number; readonly steps: number } | undefined;
  /** Milliseconds in which the process's own thread was busy in the window. */
  readonly busyMs: number;
  /** Spans that were left out because there were too many. */
  readonly dropped: number;
}

/** Where profiles go, and which steps count: from the end of step `from` to the end of step `to`, in each process. */
export interface ProfileSettings {
  readonly folder: string;
  readonly from: number;
  readonly to: number;
}

const spansMost = 200_000;

/** The machine's monotonic clock, in microseconds. */
export function machineUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export class Recorder {
  readonly #settings: ProfileSettings;
  readonly #process: string;
  readonly #spans: Span[] = [];
  readonly #ended = new AbortController();
  #dropped = 0;
  #steps = 0;
  #start: { readonly us: number; readonly busy: ReturnType<typeof performance.eventLoopUtilization> } | undefined;
  #end: { readonly us: number; readonly steps: number; readonly busyMs: number } | undefined;

  constructor(process: string, settings: ProfileSettings) {
    this.#process = process;
    this.#settings = settings;
  }

  /** How the process's engine is to profile its operators. */
  get engineProfile(): EngineOptions['profile'] {
    return { prefix: join(this.#settings.folder, encodeURIComponent(this.#process)), until: this.#ended.signal };
  }

  /** A step has ended. */
  step(): void {
    this.#steps += 1;
    const { from, to } = this.#settings;
    if (this.#steps === from) this.#start = { us: machineUs(), busy: performance.eventLoopUtilization() };
    if (!this.#start || this.#ended.signal.aborted || this.#steps <= from) return;
    const busyMs = performance.eventLoopUtilization(this.#start.busy).active;
    this.#end = { us: machineUs(), steps: this.#steps - from, busyMs };
    if (this.#steps >= to) this.#ended.abort();
  }

  watchEngine(engine: Engine): Engine {
    return watchEngine(engine, (name, work) => this.around('engine', name, work));
  }

  watchListener(listener: Listener): Listener {
    return {
      address: listener.address,
      accept: async (signal) => {
        const connection = await listener.accept(signal);
        return connection && this.watchConnection(connection);
      },
      close: () => listener.close(),
      [Symbol.asyncDispose]: () => listener.close(),
    };
  }

  watchConnection(connection: Connection): Connection {
    return throughConnection(connection, {
      send: (frame, signal) => {
        const bytes = frame.reduce((sum, part) => sum + part.byteLength, 0);
        const name = (frame[0] && kindOfFrame(frame[0])) ?? 'frame';
        return this.around(
          'send',
          name,
          () => connection.send(frame, signal),
          () => ({ bytes }),
        );
      },
      receive: (signal) =>
        this.around(
          'receive',
          'frame',
          () => connection.receive(signal),
          (frame) => (frame ? { name: kindOfFrame(frame) ?? 'frame', bytes: frame.byteLength } : {}),
        ),
    });
  }

  /** The same records; loading a training batch is seen. */
  watchData(data: OpenedData): OpenedData {
    const { train } = data.parts;
    const { count, labels, groups, ids } = train;
    return {
      ...data,
      parts: {
        ...data.parts,
        train: {
          count,
          labels,
          groups,
          ids,
          load: (rows, augmenting) => this.around('data', 'load a batch', () => train.load(rows, augmenting)),
        },
      },
      close: () => data.close(),
    };
  }

  /** The same store; writing a commit is seen. */
  watchCommits(store: CommitStore): CommitStore {
    return {
      write: (name, commit) => this.around('commit', 'commit', () => store.write(name, commit)),
      latest: (name) => store.latest(name),
      read: (name, index) => store.read(name, index),
      list: (name) => store.list(name),
    };
  }

  /** Does the work, and remembers when. `more` is told what it gave. */
  async around<T>(
    kind: SpanKind,
    name: string,
    work: () => Promise<T>,
    more?: (result: T) => Partial<Span>,
  ): Promise<T> {
    const fromUs = machineUs();
    const result = await work();
    if (!this.#ended.signal.aborted) {
      if (this.#spans.length < spansMost)
        this.#spans.push({ kind, name, fromUs, toUs: machineUs(), ...more?.(result) });
      else this.#dropped += 1;
    }
    return result;
  }

  /** Writes what was recorded. Called once, when the engine is closed. */
  async close(): Promise<void> {
    const window =
      this.#start && this.#end ? { fromUs: this.#start.us, toUs: this.#end.us, steps: this.#end.steps } : undefined;
    const profile: ProcessProfile = {
      process: this.#process,
      spans: this.#spans,
      window,
      busyMs: this.#end?.busyMs ?? 0,
      dropped: this.#dropped,
    };
    await writeFile(
      join(this.#settings.folder, `${encodeURIComponent(this.#process)}.spans.json`),
      JSON.stringify(profile),
    );
  }
}
