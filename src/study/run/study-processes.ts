// The server and the sites of one run as processes, from the first to the last.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SeptumError } from '../../base/index.ts';
import type { Manifest } from '../../data/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { type Child, Children, type Ending } from './children.ts';
import { errorFrom, type Report, type ServerFigures, type SiteFigures } from './reports.ts';
import type { RunEvent, RunOptions } from './run-study.ts';

/** The server and the sites of one run. */
export class StudyProcesses {
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
    const how = ending.signal === null ? `ended with exit code ${ending.code}` : `was ended by ${ending.signal}`;
    const said = ending.errorText.trim();
    this.#failure.reject(
      new SeptumError(
        'process-died',
        `the process of ${name === 'server' ? 'the server' : `site ${name}`} ${how}; the study was stopped${said === '' ? '' : `\n${said}`}`,
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
