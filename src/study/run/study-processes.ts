// The server and the sites of one run as processes, from the first to the last.

import { join } from 'node:path';
import { messageOf, SeptumError } from '../../base/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { inviteSite, joinStudy, readInvite } from '../enrolment/index.ts';
import type { ProfileSettings } from '../profile/index.ts';
import { type Child, Children, type Ending } from './children.ts';
import { errorFrom, type Report, type ServerFigures, type SiteFigures } from './reports.ts';
import type { RunEvent } from './run-study.ts';

/** What processes are started with. */
export interface ProcessesOptions {
  readonly planned: PlannedStudy;
  readonly studyFile: string;
  /** Where server and sites keep commits and activations. */
  readonly stateDir: string;
  /** A folder through which children hand over their tensors. */
  readonly secret: string;
  readonly serverArguments: readonly string[];
  readonly siteArguments: (site: string, index: number) => readonly string[];
  /** Whether sites join by invites and speak over TLS, as between hospitals; else by their names, without it. */
  readonly tls?: boolean | undefined;
  readonly timeoutMs: number;
  /** Every process records what it does. */
  readonly profile?: ProfileSettings | undefined;
  readonly signal: AbortSignal | undefined;
  readonly tell: (event: RunEvent) => void;
}

/** It is used at once. */
const inviteMs = 600_000;

/** What processes had at the end. */
export interface ProcessesOutcome {
  readonly server: ServerFigures;
  readonly sites: Readonly<Record<string, SiteFigures>>;
  readonly peakBytes: Readonly<Record<string, number>>;
  /** Sites that the study went on without, by name, with the reason. */
  readonly lost: Readonly<Record<string, string>>;
}

/**
 * Starts a server and its sites and waits for their end. Throws what a process failed with, SeptumError `process-died` for one that
 * died, or the signal's reason; but not for a site that the study's quorum can do without. When it settles, no process is left.
 */
export async function runProcesses(options: ProcessesOptions): Promise<ProcessesOutcome> {
  const processes = new StudyProcesses(options);
  try {
    return await processes.run();
  } finally {
    await processes.end();
  }
}

class StudyProcesses {
  readonly #options: ProcessesOptions;
  readonly #children = new Children();
  readonly #uploaded = new Set<string>();
  readonly #sites: Record<string, SiteFigures> = {};
  readonly #peakBytes: Record<string, number> = {};
  readonly #lost: Record<string, string> = {};
  #server: ServerFigures | undefined;
  readonly #address = deferred<string>();
  readonly #failure = deferred<never>();
  readonly #abort = (): void => this.#failure.reject(this.#options.signal?.reason);

  constructor(options: ProcessesOptions) {
    this.#options = options;
    this.#failure.promise.catch(() => undefined); // Whoever waits for the run sees it.
    options.signal?.addEventListener('abort', this.#abort, { once: true });
  }

  async run(): Promise<ProcessesOutcome> {
    const { signal, planned, secret, stateDir, tls, siteArguments, serverArguments } = this.#options;
    signal?.throwIfAborted();
    const shared = this.#sharedArguments();
    const server = await this.#start('server', [
      'server',
      ...(tls ? [] : ['--insecure']),
      ...given({ '--listen': '127.0.0.1:0', '--state': stateDir, '--hand-over': join(secret, 'server') }),
      ...shared,
      ...serverArguments,
    ]);
    const url = await Promise.race([this.#address.promise, this.#failure.promise]);
    const sites = await Promise.all(
      planned.plan.sites.map(async (site, index) =>
        this.#start(site, [
          'site',
          ...given(tls ? await this.#joined(site) : { '--server': url, '--name': site, '--state': stateDir }),
          ...given({ '--hand-over': join(secret, 'sites') }),
          ...shared,
          ...siteArguments(site, index),
        ]),
      ),
    );
    await Promise.race([server.ended, this.#failure.promise]);
    if (!this.#server) return this.#failure.promise;
    // Sites have what they need; those that left earlier are gone already.
    await Promise.race([Promise.all(sites.map(({ ended }) => ended)), this.#failure.promise]);
    return { server: this.#server, sites: this.#sites, peakBytes: this.#peakBytes, lost: this.#lost };
  }

  /** Has a site join as its operator does, and gives how it is started then. */
  async #joined(site: string): Promise<Readonly<Record<string, string>>> {
    const { stateDir, secret, signal = new AbortController().signal } = this.#options;
    const folder = join(secret, `site-${site}`);
    const { text } = await inviteSite(stateDir, { site, validMs: inviteMs });
    await joinStudy(folder, readInvite(text), { signal });
    return { '--state': folder };
  }

  /** Ends what still runs. */
  end(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    return this.#children.endAll();
  }

  async #start(name: string, commandArguments: readonly string[]): Promise<Child> {
    const child = await this.#children.start(name, commandArguments, (report) => this.#take(name, report));
    this.#options.tell({ kind: 'started', process: name, pid: child.pid });
    void child.ended.then((ending) => this.#ended(name, ending));
    return child;
  }

  #take(name: string, report: Report): void {
    this.#options.tell({ kind: 'report', process: name, report });
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
        this.#peakBytes[name] = report.peakBytes;
        break;
      case 'failed':
        this.#fail(name, errorFrom(name, report.failure));
        break;
      case 'engine':
      case 'not-lowered':
      case 'site':
      case 'traffic':
      case 'times':
      case 'uncut':
        break;
    }
  }

  #ended(name: string, ending: Ending): void {
    this.#options.tell({ kind: 'ended', process: name, ending });
    const done = name === 'server' ? this.#server !== undefined : name in this.#sites;
    // In a detached study a site may go once the server has its upload.
    if (done || name in this.#lost || this.#uploaded.has(name) || (name !== 'server' && this.#server !== undefined))
      return;
    const how = ending.signal === null ? `ended with exit code ${ending.code}` : `was ended by ${ending.signal}`;
    const said = ending.errorText.trim();
    const who = name === 'server' ? 'the server' : `site ${name}`;
    this.#fail(name, new SeptumError('process-died', `the process of ${who} ${how}${said === '' ? '' : `\n${said}`}`));
  }

  /** The study goes on without a site if its quorum says so; else it ends. */
  #fail(name: string, error: Error): void {
    const { planned, tell } = this.#options;
    const { quorum, sites } = planned.plan;
    const left = sites.length - Object.keys(this.#lost).length - 1;
    if (name === 'server' || quorum === undefined || left < quorum) return this.#failure.reject(error);
    this.#lost[name] = messageOf(error);
    tell({ kind: 'lost', site: name, reason: messageOf(error), left, quorum });
  }

  #sharedArguments(): string[] {
    const { planned, studyFile, timeoutMs, profile } = this.#options;
    const { seed, sites } = planned.plan;
    return given({
      '--study': studyFile,
      '--seed': String(seed),
      '--sites': String(sites.length),
      '--timeout': String(timeoutMs / 1000),
      ...(profile && { '--profile-to': profile.folder, '--profile-steps': `${profile.from}:${profile.to}` }),
    });
  }
}

function given(options: Readonly<Record<string, string>>): string[] {
  return Object.entries(options).flat();
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
