// Makes ONNX Runtime's sessions of a graph's files, and tries a lowered form against the graph itself before it takes its place.

import { EngineError, messageOf } from '../../base/index.ts';
import type { ExitGate } from './exit-gate.ts';
import { LoweredSession } from './lowered.ts';
import type { CoreSettings, GraphFile, LoweredFile } from './messages.ts';
import { Profiled } from './profiled.ts';
import { Session } from './session.ts';
import { sessionOptions } from './session-options.ts';
import { Trial } from './trial.ts';

export class SessionMaker {
  readonly #settings: CoreSettings;
  readonly #gate: ExitGate;
  readonly #profiled = new Map<Session, Profiled>();

  constructor(settings: CoreSettings, gate: ExitGate) {
    this.#settings = settings;
    this.#gate = gate;
  }

  /** A session of a file, with the engine's threads unless told otherwise. Throws EngineError `unsupported-operator` or `load-failed`. */
  open(
    name: string,
    bytes: Uint8Array<ArrayBuffer>,
    form: 'standard' | 'lowered',
    threads = this.#settings.threads,
  ): Session {
    const { profilePrefix } = this.#settings;
    const profiled = profilePrefix === undefined ? undefined : new Profiled(profilePrefix, name, threads);
    const options = {
      ...sessionOptions({ ...this.#settings, threads }, form),
      ...(profiled && { enableProfiling: true, profileFilePrefix: profiled.file }),
    };
    try {
      const session = this.#gate.through(() => new Session(bytes, options));
      if (profiled) {
        profiled.watch(session);
        this.#profiled.set(session, profiled);
      }
      return session;
    } catch (cause) {
      throw loadError(name, cause);
    }
  }

  /** A session that still profiles writes its file. */
  close(session: Session): void {
    this.#profiled.get(session)?.close();
    this.#profiled.delete(session);
    this.#gate.through(() => session.release());
  }

  /** Has every session write its profile; those that are made later write theirs when they are closed. */
  endProfile(): void {
    for (const [session, profiled] of this.#profiled) {
      this.#gate.through(() => session.endProfiling());
      profiled.close();
    }
    this.#profiled.clear();
  }

  /** The lowered graph's session when it gives what the graph itself gives on random values, or has been tried before; else why not. */
  tried(file: GraphFile, form: LoweredFile): LoweredSession | string {
    if (file.tried === true) return this.lowered(file, form);
    let refusal = '';
    // Rounding can turn a maximum on which much hangs in a small graph; what is wrong differs on other values, too.
    for (const seed of [1, 2]) {
      let trial: Trial | undefined;
      let lowered: LoweredSession | undefined;
      try {
        trial = this.#trialOf(file, seed);
        lowered = this.lowered(file, form);
        const difference = trial.difference(lowered);
        if (difference !== undefined) refusal = difference;
        else {
          // A session never gives back what a run took, and a trial's outputs lie in it: a step's go to residents.
          lowered.release();
          lowered = undefined;
          return this.lowered(file, form);
        }
      } catch (error) {
        refusal = messageOf(error);
      } finally {
        trial?.release();
      }
      lowered?.release();
    }
    return refusal;
  }

  /** Runs the graph itself. Its session is freed before the lowered one is made, because each may need as much memory as a step. */
  #trialOf(file: GraphFile, seed: number): Trial {
    const standard = this.open(file.name, file.bytes, 'standard');
    try {
      return this.#gate.through(() => Trial.of(standard, file, seed));
    } finally {
      this.close(standard);
    }
  }

  /** The sessions of a lowered form, untried; without a rest where the file has none. */
  lowered(file: GraphFile, form: LoweredFile): LoweredSession {
    const { name } = file;
    const { units } = form;
    const opened: Session[] = [];
    const open = (part: string, bytes: Uint8Array<ArrayBuffer>, kind: 'standard' | 'lowered', threads?: number) => {
      const session = this.open(`${name}${part}`, bytes, kind, threads);
      opened.push(session);
      return session;
    };
    try {
      const records = open('', form.bytes, 'lowered', units?.spread === true ? 1 : undefined);
      const prepare = units?.prepare && open(' (weights)', units.prepare, 'standard', units.spread ? 1 : undefined);
      const rest = units && units.rest.length > 0 ? open(' (update)', units.rest, 'standard') : undefined;
      return new LoweredSession(
        file,
        form,
        { records, prepare, rest },
        {
          through: (call) => this.#gate.through(call),
          close: (session) => this.close(session),
        },
      );
    } catch (error) {
      for (const session of opened) this.close(session);
      throw error;
    }
  }
}

// ONNX Runtime has no error codes in JavaScript; these words have stood in its messages for years.
const unknownOperator = /No Op registered for|No opset import for|Could not find an implementation for/;

function loadError(name: string, cause: unknown): EngineError {
  const message = messageOf(cause);
  if (unknownOperator.test(message))
    return new EngineError(
      'unsupported-operator',
      `graph ${name}: ONNX Runtime lacks an operator that it uses: ${message}`,
      {
        cause,
      },
    );
  return new EngineError('load-failed', `graph ${name}: ONNX Runtime could not load it: ${message}`, { cause });
}
