// log.jsonl: what happened in a run, a line each. No record, label or file name is in it; the folder of the data is, so that the run
// can be replayed.

import { DataError, messageOf } from '../../base/index.ts';
import { manifestCounts } from '../../data/index.ts';
import { type Plan, planHash } from '../../protocol/index.ts';
import { asJson, type Log } from '../../store/index.ts';
import { openFileLog } from '../../store/node/index.ts';
import { failureOf } from './reports.ts';
import type { RunEvent, RunResult } from './run-study.ts';
import { versions } from './versions.ts';

export class RunLog {
  readonly #log: Log;
  readonly #startMs = performance.now();
  readonly #failing = new AbortController();

  private constructor(log: Log) {
    this.#log = log;
  }

  static async open(
    path: string,
    about: { readonly plan: Plan; readonly method: string; readonly data?: string; readonly skipBad?: number },
  ): Promise<RunLog> {
    const { plan, method, data, skipBad } = about;
    const log = new RunLog(await openFileLog(path));
    log.#put('run', {
      time: new Date().toISOString(),
      study: plan.study,
      method,
      seed: plan.seed,
      sites: plan.sites,
      plan: planHash(plan),
      ...(data === undefined ? {} : { data, skipBad: skipBad ?? 0 }),
      ...versions(),
    });
    return log;
  }

  write(event: RunEvent): void {
    switch (event.kind) {
      case 'planned':
        return;
      case 'dealt': {
        const { synthetic, skipped, warnings } = event.listing;
        const sites = event.manifests.map((manifest) => manifestCounts(manifest));
        this.#put('dealt', { synthetic, skipped: skipped.length, warnings, sites });
        return;
      }
      case 'started':
        this.#put('started', { process: event.process, pid: event.pid });
        return;
      case 'ended':
        this.#put('ended', { process: event.process, code: event.ending.code, signal: event.ending.signal });
        return;
      case 'lost':
        // The reason may speak of records; `ended` has how the process did.
        this.#put('lost', { site: event.site, left: event.left, quorum: event.quorum });
        return;
      case 'report':
        this.#report(event.process, event.report);
    }
  }

  /** Notes that all results are written; `awaited` are the sites that are still to hear so. */
  finish({ server }: Pick<RunResult, 'server'>, awaited?: readonly string[]): void {
    this.#put('finished', { bestEpoch: server.bestEpoch, ...(awaited && { sites: awaited }) });
  }

  /** Resolves when all entries are on disk. Throws as `close` does. */
  async sync(): Promise<void> {
    await this.#log.sync();
    this.failed.throwIfAborted();
  }

  /** Notes why the run did not end well. */
  fail(error: unknown): void {
    const { code, error: name, problems } = failureOf(error);
    // What is wrong with data names records; the message is for the operator's eyes only.
    const message = error instanceof DataError ? `${problems.length} problems with the data` : messageOf(error);
    this.#put('failed', { error: name, code, message });
  }

  /** Aborts, with DataError `bad-file`, when an entry could not be written: nobody wants a study of which no log is kept. */
  get failed(): AbortSignal {
    return this.#failing.signal;
  }

  /** Writes everything out. Throws DataError `bad-file` when an entry could not be written. */
  async close(): Promise<void> {
    await this.#log.close();
    this.failed.throwIfAborted();
  }

  #report(process: string, report: Extract<RunEvent, { kind: 'report' }>['report']): void {
    switch (report.kind) {
      case 'server': {
        const { kind, ...rest } = report.event;
        if (kind === 'step') this.#put('step', 'report' in rest ? rest.report : {});
        else if (report.event.kind === 'resumed') {
          const { step, undone, reason } = report.event;
          this.#put(kind, { process, step, undone, reason });
        } else this.#put(kind === 'site' ? 'connection' : kind, { process, ...rest });
        return;
      }
      case 'site': {
        const { kind, ...rest } = report.event;
        if (kind === 'epoch') return; // The server says the same.
        this.#put(`site-${kind}`, { process, ...rest });
        return;
      }
      case 'engine':
        this.#put('engine', { process, ...report.info });
        return;
      case 'not-lowered':
        this.#put('not-lowered', { process, graph: report.graph, reason: report.reason });
        return;
      case 'memory':
        this.#put('memory', { process, peakBytes: report.peakBytes });
        return;
      case 'server-done': {
        const { bytesUp, bytesDown, trainSeconds, trainRecords, steps, waitedMs } = report.figures;
        this.#put('server-done', { bytesUp, bytesDown, trainSeconds, trainRecords, steps, waitedMs });
        return;
      }
      case 'site-done':
        this.#put('site-done', { process, ...report.figures });
        return;
      case 'failed':
        this.#put('process-failed', { process, error: report.failure.error, code: report.failure.code });
        return;
      case 'traffic':
      case 'times':
      case 'uncut':
    }
  }

  #put(event: string, about: object): void {
    const seconds = Math.round(performance.now() - this.#startMs) / 1000;
    this.#log.write(asJson({ event, seconds, ...about })).catch((error: unknown) => this.#failing.abort(error));
  }
}
