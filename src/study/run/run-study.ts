// A whole study on this machine: records are dealt, and a server and its sites run as processes of their own, over loopback.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, SeptumError, TimeoutError } from '../../base/index.ts';
import { deal, type Listing, type Manifest, manifestCounts } from '../../data/index.ts';
import { listRecords } from '../../data/node/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { planOf, siteSharesOf, type StudyOverrides } from '../planned-study.ts';
import type { Study } from '../study-file.ts';
import { type Child, Children, type Ending } from './children.ts';
import { takeOver, type Weights } from './hand-over.ts';
import { claimOutFolder } from './out-folder.ts';
import { errorFrom, type Report, type ServerFigures, type SiteFigures } from './reports.ts';
import { RunLog } from './run-log.ts';

export interface RunOptions {
  readonly study: Study;
  readonly overrides?: Omit<StudyOverrides, 'siteNames'>;
  /** The folder or file with all sites' records; not looked at for synthetic records. */
  readonly data: string;
  readonly out: string;
  /** Replaces what an earlier run left in `out`. */
  readonly force?: boolean;
  /** How many bad records may be skipped. Default 0. */
  readonly skipBad?: number;
  /** Threads of the server's engine. Default: all cores. */
  readonly serverThreads?: number | undefined;
  /** How long the study waits for a site that is lost. Default 60 s. */
  readonly timeoutMs?: number;
  /** When it aborts, every process is ended and the folder is left readable. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void;
}

/** What happens in a run, in order. */
export type RunEvent =
  | { readonly kind: 'planned'; readonly planned: PlannedStudy }
  | { readonly kind: 'dealt'; readonly listing: Listing; readonly manifests: readonly Manifest[] }
  | { readonly kind: 'started'; readonly process: string; readonly pid: number }
  | { readonly kind: 'report'; readonly process: string; readonly report: Report }
  | { readonly kind: 'ended'; readonly process: string; readonly ending: Ending };

/** What a run has at its end. */
export interface RunResult {
  readonly planned: PlannedStudy;
  readonly listing: Listing;
  readonly manifests: readonly Manifest[];
  readonly server: ServerFigures;
  readonly sites: Readonly<Record<string, SiteFigures>>;
  readonly weights: Weights;
  /** Seconds from start to end, start-up and validation included. */
  readonly seconds: number;
  readonly peakBytes: Readonly<Record<string, number>>;
}

/** Runs a study. Throws ConfigError, DataError, EngineError before it starts, what a process failed with, or the signal's reason. */
export async function runStudy(options: RunOptions): Promise<RunResult> {
  const { study, overrides = {}, data, out, signal, onEvent } = options;
  const startMs = performance.now();
  const planned = planOf(study, overrides);
  const { plan } = planned;
  if (plan.sites.includes('server')) throw new ConfigError('bad-study', 'a site cannot be called "server"');
  onEvent?.({ kind: 'planned', planned });
  const listing = await listRecords(study.data, data, { seed: plan.seed, skipBad: options.skipBad ?? 0 });
  const manifests = deal(listing, siteSharesOf(study, overrides).ratio);
  signal?.throwIfAborted();
  await claimOutFolder(out, options.force ?? false);
  await writeFile(join(out, 'study.yaml'), study.text);
  await writeFile(join(out, 'plan.json'), `${JSON.stringify(plan, null, 2)}\n`);
  const log = await RunLog.open(join(out, 'log.jsonl'), { plan, method: study.method, data });
  const secret = await mkdtemp(join(tmpdir(), 'septum-'));
  const tell = (event: RunEvent): void => {
    log.write(event);
    onEvent?.(event);
  };
  const processes = new StudyProcesses(options, planned, secret, tell);
  try {
    tell({ kind: 'dealt', listing, manifests });
    const { server, sites } = await processes.run(manifests);
    const weights = await collectWeights(plan.sites, secret);
    const result: RunResult = {
      planned,
      listing,
      manifests,
      server,
      sites,
      weights,
      seconds: (performance.now() - startMs) / 1000,
      peakBytes: processes.peakBytes,
    };
    log.finish(result);
    return result;
  } catch (error) {
    log.fail(error);
    throw error;
  } finally {
    await processes.end();
    await log.close();
    await rm(secret, { recursive: true, force: true });
  }
}

/** The server and the sites of one run. */
class StudyProcesses {
  readonly #options: RunOptions;
  readonly #planned: PlannedStudy;
  readonly #secret: string;
  readonly #tell: (event: RunEvent) => void;
  readonly #children = new Children();
  readonly #uploaded = new Set<string>();
  readonly #sites: Record<string, SiteFigures> = {};
  readonly peakBytes: Record<string, number> = {};
  #server: ServerFigures | undefined;
  readonly #address = deferred<string>();
  readonly #failure = deferred<never>();

  constructor(options: RunOptions, planned: PlannedStudy, secret: string, tell: (event: RunEvent) => void) {
    this.#options = options;
    this.#planned = planned;
    this.#secret = secret;
    this.#tell = tell;
    this.#failure.promise.catch(() => undefined); // Whoever waits for the run sees it.
    options.signal?.addEventListener('abort', () => this.#failure.reject(options.signal?.reason), { once: true });
  }

  /** Starts all processes and waits for their end. */
  async run(
    manifests: readonly Manifest[],
  ): Promise<{ readonly server: ServerFigures; readonly sites: Readonly<Record<string, SiteFigures>> }> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const { plan } = this.#planned;
    const server = await this.#start('server', this.#serverArguments());
    const url = await Promise.race([this.#address.promise, this.#failure.promise]);
    const sites = await Promise.all(
      plan.sites.map(async (site, index) => {
        const file = join(this.#secret, `manifest-${index}.json`);
        await writeFile(file, JSON.stringify(manifests[index]), { mode: 0o600 });
        return this.#start(site, this.#siteArguments(site, url, file));
      }),
    );
    await Promise.race([server.ended, this.#failure.promise]);
    if (!this.#server) return this.#failure.promise;
    // Sites have what they need; those that left earlier are gone already.
    await Promise.race([Promise.all(sites.map(({ ended }) => ended)), this.#failure.promise]);
    return { server: this.#server, sites: this.#sites };
  }

  /** Ends what still runs. */
  end(): Promise<void> {
    return this.#children.endAll();
  }

  async #start(name: string, commandArguments: readonly string[]): Promise<Child> {
    const child = await this.#children.start(name, commandArguments, (report) => this.#take(name, report));
    this.#tell({ kind: 'started', process: name, pid: child.pid });
    void child.ended.then((ending) => this.#ended(name, ending));
    return child;
  }

  #take(name: string, report: Report): void {
    this.#tell({ kind: 'report', process: name, report });
    switch (report.kind) {
      case 'server':
        if (report.event.kind === 'listening') this.#address.resolve(report.event.address);
        if (report.event.kind === 'uploaded') this.#uploaded.add(report.event.site);
        break;
      case 'server-done':
        this.#server = report.figures;
        break;
      case 'site-done':
        this.#sites[name] = report.figures;
        break;
      case 'memory':
        this.peakBytes[name] = report.peakBytes;
        break;
      case 'failed':
        this.#failure.reject(errorFrom(name, report.failure));
        break;
      case 'engine':
      case 'site':
      case 'traffic':
        break;
    }
  }

  #ended(name: string, ending: Ending): void {
    this.#tell({ kind: 'ended', process: name, ending });
    const done = name === 'server' ? this.#server !== undefined : name in this.#sites;
    // In a detached study a site may go once the server has its upload.
    if (done || this.#uploaded.has(name) || (name !== 'server' && this.#server !== undefined)) return;
    const how = ending.signal === null ? `with exit code ${ending.code}` : `by ${ending.signal}`;
    const said = ending.errorText.trim();
    this.#failure.reject(
      new SeptumError(
        'process-died',
        `the process of ${name === 'server' ? 'the server' : `site ${name}`} ended ${how}; the study was stopped${said === '' ? '' : `\n${said}`}`,
      ),
    );
  }

  #serverArguments(): string[] {
    const { serverThreads, timeoutMs, out } = this.#options;
    const threads = serverThreads === undefined ? [] : ['--threads', String(serverThreads)];
    return [
      'server',
      ...['--state', out, '--listen', '127.0.0.1:0', '--timeout', String((timeoutMs ?? 60_000) / 1000)],
      ...['--hand-over', join(this.#secret, 'server'), ...threads, ...this.#studyArguments()],
    ];
  }

  #siteArguments(site: string, url: string, manifest: string): string[] {
    const { data, timeoutMs, out } = this.#options;
    return [
      'site',
      ...['--server', url, '--name', site, '--data', data, '--manifest', manifest, '--state', out],
      ...['--timeout', String((timeoutMs ?? 60_000) / 1000), '--hand-over', join(this.#secret, 'sites')],
      ...this.#studyArguments(),
    ];
  }

  #studyArguments(): string[] {
    const { study, out } = this.#options;
    const { plan } = this.#planned;
    // A study that names a model file is read where it stands, for the file's path starts there.
    const file = study.network.file === undefined ? join(out, 'study.yaml') : study.fileName;
    return ['--study', file, '--seed', String(plan.seed), '--sites', String(plan.sites.length)];
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...(settle as unknown as Omit<Deferred<T>, 'promise'>) };
}

/** Trunk and segments as the processes handed them over; a site's own where the server was not given it. */
async function collectWeights(sites: readonly string[], secret: string): Promise<Weights> {
  const server = await takeOver(join(secret, 'server'), 'server');
  if (!server) throw new TimeoutError('the server handed over no weights');
  if ('' in server.segments) return server;
  const segments: Record<string, Weights['segments'][string]> = { ...server.segments };
  for (const site of sites) {
    const own = (await takeOver(join(secret, 'sites'), site))?.segments[site];
    if (own) segments[site] = own;
  }
  return { trunk: server.trunk, segments };
}

/** Records of each class in each part at each site, by name. */
export function dealtCounts(
  sites: readonly string[],
  manifests: readonly Manifest[],
): Record<string, ReturnType<typeof manifestCounts>> {
  return Object.fromEntries(sites.map((site, index) => [site, manifestCounts(manifests[index] as Manifest)]));
}
