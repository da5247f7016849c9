// `septum server`: studies served to sites that come by themselves, side by side, and what each leaves in its folder.
//
// The studies share the listener, the door and the registry. Each has its own StudyServer, engine, stores and log: what one does, or
// dies of, is nothing to the others, and none waits for another's step. An engine costs its thread and its graphs' memory, which the
// graphs need anyway.

import { join } from 'node:path';
import { assert } from '../../base/index.ts';
import { planHash } from '../../protocol/index.ts';
import { Reception, type ServerEvent, type ServerResult } from '../../server/index.ts';
import { systemClock } from '../../base/node/index.ts';
import { isOver, type Registry } from '../../store/index.ts';
import { makeFolder, openFileLog, takeLock } from '../../store/node/index.ts';
import { enterStudy, openRegistry } from '../enrolment/index.ts';
import type { MetricsFile } from '../metrics-file.ts';
import type { StudyOverrides } from '../planned-study.ts';
import { Closing } from './closing.ts';
import { type Front, openFront } from './front.ts';
import { keepStudy, type ServedStudy, studiesToServe } from './known-studies.ts';
import { PartialRun } from './partial-run.ts';
import type { Report } from './reports.ts';
import { RunLog } from './run-log.ts';
import type { RunEvent } from './run-study.ts';
import { type ListenChoice, serveAt, type ServeOptions, serveOverAt } from './serve-study.ts';
import { StudyNotes } from './study-notes.ts';
import { leavePartialResults, type RunFacts, writeResults } from './write-results.ts';

/** How one study ended. */
export type StudyEnd =
  | {
      readonly server: ServerResult;
      readonly metrics: MetricsFile;
      readonly seconds: number;
      readonly planned: ServedStudy['planned'];
      readonly folder: string;
    }
  | { readonly error: unknown };

export interface ServeStudiesOptions
  extends ListenChoice, Pick<ServeOptions, 'threads' | 'provider' | 'timeoutMs' | 'signal'> {
  readonly stateDir: string;
  /** Study files; without any, the studies that the folder knows go on. */
  readonly files: readonly string[];
  readonly overrides: StudyOverrides;
  /** Told how people know the server's identity. */
  readonly onIdentity?: (fingerprint: string) => void;
  /** Told which studies there are, before any begins. */
  readonly onStudies?: (names: readonly string[]) => void;
  readonly onEvent?: (study: string, event: RunEvent) => void;
  /** Told of a study's end, which is not yet that of the others. */
  readonly onEnd: (study: string, end: StudyEnd) => void;
  /** Told of what went wrong and ends nothing. */
  readonly onTrouble: (what: string) => void;
}

/**
 * Serves studies until the last is over, as the only process that uses the folder, and writes into each one's folder study.yaml,
 * plan.json, log.jsonl, commits/, metrics.json, report.html and, where the server knows the segments, model/. Throws ConfigError for a
 * study that cannot begin, before any does, and what opening folder and listener throws.
 */
export async function serveStudies(options: ServeStudiesOptions): Promise<void> {
  const { stateDir } = options;
  const closing = new Closing();
  try {
    await makeFolder(stateDir);
    closing.defer(await takeLock(join(stateDir, 'lock')));
    const registry = closing.use(await openRegistry(stateDir));
    const studies = await studiesToServe(stateDir, registry, options.files, options.overrides);
    options.onStudies?.(studies.map(({ study }) => study.name));
    const serving: Serving[] = [];
    for (const served of studies) serving.push(await Serving.begin(served, registry, options));
    try {
      await serveAll(serving, registry, options, closing);
    } catch (error) {
      await Promise.all(serving.map((study) => study.giveUp(error)));
      throw error;
    }
  } finally {
    await closing.close();
  }
}

async function serveAll(
  serving: readonly Serving[],
  registry: Registry,
  options: ServeStudiesOptions,
  closing: Closing,
): Promise<void> {
  const { stateDir, listen, door: doorOptions, onIdentity } = options;
  const [first, second] = serving;
  // Who was refused without a word of a study is in the log of the only one, or where none is.
  const log = second && closing.use(await openFileLog(join(stateDir, 'server.jsonl')));
  const onRefused = (event: ServerEvent & { readonly kind: 'refused' }): void => {
    if (!log) first?.tell(event);
    else log.write({ time: new Date().toISOString(), event: event.kind, ...withoutKind(event) }).catch(() => undefined); // As its `close` says.
  };
  const siteCount = serving.reduce((sum, { served }) => sum + served.planned.plan.sites.length, 0);
  const front = await openFront({ stateDir, listen, door: doorOptions, siteCount, onRefused }, registry, closing);
  const { listener, door } = front;
  if (door) onIdentity?.(door.fingerprint);
  const reception = new Reception({
    listener,
    gate: door?.gate,
    clock: systemClock,
    onRefused: (remote, reason, code) => {
      const refused = { remote, reason, code };
      if (door) door.refused(refused, (one) => onRefused({ kind: 'refused', ...one }));
      else onRefused({ kind: 'refused', ...refused });
    },
  });
  for (const { name, plan: planHash, sites, state } of registry.book.statuses())
    if (isOver(state)) reception.announce({ study: name, planHash, sites: sites.map((site) => site.name) }, true);
  for (const { served } of serving) {
    const { plan } = served.planned;
    enterStudy(registry, plan, { address: listener.address, folder: served.folder });
    reception.announce({ study: plan.study, planHash: planHash(plan), sites: plan.sites });
  }
  const ending = new AbortController();
  const receiving = reception.run(ending.signal).catch(() => undefined); // It ends with the signal.
  try {
    const ended = await Promise.all(serving.map((study) => study.run({ ...front, reception })));
    if (ended.includes('interrupted')) options.signal.throwIfAborted();
  } finally {
    ending.abort();
    await listener.close();
    await receiving;
  }
}

/** One study of a server, with its log. */
class Serving {
  readonly served: ServedStudy;
  readonly #folder: string;
  readonly #log: RunLog;
  readonly #registry: Registry;
  readonly #options: ServeStudiesOptions;
  readonly #seen: PartialRun;
  readonly #startMs = performance.now();
  #notes: StudyNotes | undefined;

  static async begin(served: ServedStudy, registry: Registry, options: ServeStudiesOptions): Promise<Serving> {
    const folder = join(options.stateDir, served.folder);
    await keepStudy(folder, served);
    const { planned, study } = served;
    const log = await RunLog.open(join(folder, 'log.jsonl'), { plan: planned.plan, method: study.method });
    return new Serving(served, folder, log, registry, options);
  }

  private constructor(
    served: ServedStudy,
    folder: string,
    log: RunLog,
    registry: Registry,
    options: ServeStudiesOptions,
  ) {
    this.served = served;
    this.#folder = folder;
    this.#log = log;
    this.#registry = registry;
    this.#options = options;
    this.#seen = new PartialRun(served.planned.plan);
  }

  tell(event: ServerEvent): void {
    this.#notes?.take(event);
    this.#report({ kind: 'server', event });
  }

  #report(report: Report): void {
    const event: RunEvent = { kind: 'report', process: 'server', report };
    this.#log.write(event);
    this.#seen.take(event);
    this.#options.onEvent?.(this.served.study.name, event);
  }

  /** The study was not served. */
  async giveUp(error: unknown): Promise<void> {
    if (this.#notes) return;
    this.#log.fail(error);
    await this.#log.close();
  }

  /** Serves the study to its end, and tells how it ended, unless the server was. Never rejects. */
  async run(front: Front & { readonly reception: Reception }): Promise<'ended' | 'interrupted'> {
    const { study, planned, awaited } = this.served;
    const { onEnd, onEvent, onTrouble, signal } = this.#options;
    let end: StudyEnd;
    try {
      if (awaited) {
        await this.#serveOver(front, awaited);
        return 'ended';
      }
      this.#notes = new StudyNotes(this.#registry.book, planned.plan, (what) => onTrouble(`${study.name}: ${what}`));
      onEvent?.(study.name, { kind: 'planned', planned });
      end = await this.#serve(front);
    } catch (error) {
      if (signal.aborted) return 'interrupted';
      end = { error };
    }
    onEnd(study.name, end);
    return 'ended';
  }

  async #serve(front: Front & { readonly reception: Reception }): Promise<StudyEnd> {
    const { study, planned } = this.served;
    const { threads, provider, signal } = this.#options;
    const facts: RunFacts = { planned, out: this.#folder, synthetic: study.data.kind === 'synthetic' };
    const secondsSoFar = (): number => (performance.now() - this.#startMs) / 1000;
    let kept: { readonly metrics: MetricsFile; readonly seconds: number } | undefined;
    const keep: ServeOptions['keep'] = async (server, sites) => {
      const seconds = secondsSoFar();
      const peakBytes = { server: process.resourceUsage().maxRSS * 1024 };
      const metrics = await writeResults(facts, { server, sites: {}, peakBytes, seconds, baselines: [] });
      this.#log.finish({ server }, sites);
      await this.#log.sync();
      kept = { metrics, seconds };
      this.#notes?.finished(server, server.stoppedEarly ? 'stopped' : 'done');
    };
    let server: ServerResult;
    try {
      server = await serveAt(front, {
        ...this.#serveOptions(),
        threads,
        provider,
        keep,
        onEngine: (info) => this.#report({ kind: 'engine', info }),
        onNotLowered: (graph, reason) => this.#report({ kind: 'not-lowered', graph, reason }),
        onTraffic: (traffic) => this.#report({ kind: 'traffic', ...traffic, residentBytes: process.memoryUsage.rss() }),
      });
    } catch (error) {
      if (kept) await this.#log.close();
      else {
        this.#notes?.ended(signal.aborted ? undefined : error);
        await leavePartialResults(facts, {
          log: this.#log,
          seen: this.#seen,
          seconds: secondsSoFar(),
          reason: error,
        });
      }
      throw error;
    }
    assert(kept, 'a study that has ended was kept');
    await this.#log.close();
    return { server, ...kept, planned, folder: this.#folder };
  }

  /** Serves the end of a study whose results are written to the sites that have not fetched it. */
  async #serveOver(front: Front & { readonly reception: Reception }, awaited: readonly string[]): Promise<void> {
    try {
      await serveOverAt(front, this.#serveOptions(), awaited);
    } finally {
      await this.#log.close();
    }
  }

  #serveOptions(): ServeOptions {
    const { timeoutMs, signal } = this.#options;
    return {
      planned: this.served.planned,
      stateDir: this.#folder,
      timeoutMs,
      signal: AbortSignal.any([signal, this.#log.failed]),
      registry: this.#registry,
      onEvent: (event) => this.tell(event),
    };
  }
}

function withoutKind({ kind: _kind, ...rest }: ServerEvent & { readonly kind: 'refused' }) {
  return rest;
}
