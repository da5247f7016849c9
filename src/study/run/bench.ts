// How fast a study's processes are, on random records: the processes and code paths of a run, without anything to learn.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeptumError } from '../../base/index.ts';
import type { Provider } from '../../engine/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { type ProfileTable, writeProfile } from '../profile/index.ts';
import { planOf } from '../planned-study.ts';
import { parseStudy } from '../study-file.ts';
import { type BenchSettings, benchStudy } from './bench-study.ts';
import { Children } from './children.ts';
import { runProcesses } from './study-processes.ts';
import { isInline } from './placement.ts';
import type { StepTimes } from './step-times.ts';

export interface BenchOptions extends BenchSettings {
  /** Steps that are timed, and before them steps that are not: the first are slow. */
  readonly steps: number;
  readonly warmUp: number;
  readonly serverThreads?: number | undefined;
  /** What computes, at the server and at the sites; default `cpu`. */
  readonly provider?: Provider | undefined;
  /** Whether each site keeps a ledger. Default false. */
  readonly ledger?: boolean | undefined;
  /** Whether sites join by invites and speak over TLS. */
  readonly tls?: boolean | undefined;
  /** Milliseconds between two commits of server and sites; without it none are written while steps are timed. */
  readonly commitEveryMs?: number | undefined;
  /** Where to write a Chrome trace of steps. Recording slows them down. */
  readonly profileFile?: string | undefined;
  readonly signal: AbortSignal;
}

/** Where the time of a step goes, in milliseconds of wall time. What runs side by side counts in each of its places. */
export interface StepParts {
  /** A site's engine, the mean of the sites. */
  readonly site: number;
  /** Messages: packing, unpacking, copies and sockets, in the server's thread and (the mean) a site's. */
  readonly wire: number;
  /** The server's engine. */
  readonly trunk: number;
  /** What is left of the step: for other sites, for the network, for a free core. 0 where the others overlap. */
  readonly waiting: number;
}

/** What processes measured. Speeds in records a second. */
export interface SplitSpeed {
  readonly samplesPerSecond: number;
  readonly stepMs: number;
  readonly where: StepParts;
  /** Processor time of a step, milliseconds: of the server's process and (the mean) of a site's, all threads. */
  readonly processorMs: { readonly server: number; readonly site: number };
  readonly bytesUpPerStep: number;
  readonly bytesDownPerStep: number;
  /** Largest resident set of the server, and over each quarter of the timed steps. */
  readonly serverPeakBytes: number;
  /** Largest resident set of any site. */
  readonly sitePeakBytes: number;
  readonly serverPeakByQuarter: readonly number[];
  /** Commits of the server, with as many of each site, while the steps were timed. */
  readonly commits: number;
  /** With a profile: where the time of its steps went. */
  readonly profile?: ProfileTable;
}

/** Longer than any bench. */
const neverMs = 1e9;
/** Steps that a profile is of, at most. */
const profiledMost = 50;

/** Trains a study of random records in processes, and times it. */
export async function splitSpeed(options: BenchOptions): Promise<SplitSpeed> {
  const { sites, batch, steps, warmUp, serverThreads, provider, tls, profileFile, signal } = options;
  const text = benchStudy(options);
  const planned = planOf(parseStudy(text, 'bench.yaml'));
  const total = warmUp + steps;
  return inFolder(text, async (folder, studyFile) => {
    const times = new Map<string, StepTimes[]>();
    let commits = 0;
    const memory: { readonly ms: number; readonly bytes: number }[] = [];
    const profile =
      profileFile === undefined
        ? undefined
        : { folder: join(folder, 'profile'), from: warmUp, to: warmUp + Math.min(steps, profiledMost) };
    if (profile) await mkdir(profile.folder);
    const extra = ['--time-steps', `${warmUp}:${total}`, ...providerWords(provider)];
    const { server, peakBytes } = await runProcesses({
      planned,
      studyFile,
      stateDir: folder,
      secret: join(folder, 'secret'),
      serverArguments: [
        ...extra,
        '--commit-every',
        String((options.commitEveryMs ?? neverMs) / 1000),
        ...(serverThreads === undefined ? [] : ['--threads', String(serverThreads)]),
      ],
      siteArguments: (site) => [
        ...extra,
        '--data',
        '-',
        '--random-records',
        String(total * batch),
        ...(options.ledger === true ? ['--ledger', join(folder, 'ledgers', site)] : []),
      ],
      tls,
      timeoutMs: 60_000,
      profile,
      signal,
      tell: (event) => {
        if (event.kind !== 'report') return;
        if (event.report.kind === 'times')
          times.set(event.process, [...(times.get(event.process) ?? []), event.report.times]);
        // The last one comes when the epoch has ended.
        if (event.report.kind === 'server' && event.report.event.kind === 'commit')
          commits += event.report.event.step > warmUp && event.report.event.step < total ? 1 : 0;
        if (event.report.kind === 'traffic') memory.push({ ms: performance.now(), bytes: event.report.residentBytes });
      },
    });
    const between = (process: string) => differences(process, times.get(process) ?? [], steps);
    const own = between('server');
    const atSites = planned.plan.sites.map(between);
    const mean = (of: (site: PerStep) => number) => atSites.reduce((sum, site) => sum + of(site), 0) / atSites.length;
    const where = partsOf(planned, own, {
      engineMs: mean((site) => site.engineMs),
      threadMs: mean((site) => site.threadMs),
    });
    return {
      samplesPerSecond: (1000 * sites * batch) / own.ms,
      stepMs: own.ms,
      where,
      processorMs: { server: own.processorMs, site: mean((site) => site.processorMs) },
      bytesUpPerStep: server.bytesUp / total,
      bytesDownPerStep: server.bytesDown / total,
      serverPeakBytes: peakBytes['server'] ?? 0,
      sitePeakBytes: Math.max(...planned.plan.sites.map((site) => peakBytes[site] ?? 0)),
      serverPeakByQuarter: peakByQuarter(memory, own.ms * steps),
      commits,
      ...(profile && profileFile !== undefined && { profile: await writeProfile(profile.folder, profileFile) }),
    };
  });
}

/** The uncut network on batches of all sites' records, in a process of its own with all threads. Records a second. */
export async function measureUncut(options: BenchOptions): Promise<number> {
  return inFolder(benchStudy(options), async (_, studyFile) => {
    const children = new Children();
    let speed: number | undefined;
    let failure: string | undefined;
    const stop = (): void => void children.endAll();
    options.signal.addEventListener('abort', stop, { once: true });
    try {
      const counts = ['--warm-up', String(options.warmUp), '--steps', String(options.steps)];
      const words = [...counts, ...providerWords(options.provider)];
      const child = await children.start('uncut', ['bench-uncut', '--study', studyFile, ...words], (report) => {
        if (report.kind === 'uncut') speed = report.samplesPerSecond;
        if (report.kind === 'failed') failure = report.failure.message;
      });
      const { signal, code, errorText } = await child.ended;
      options.signal.throwIfAborted();
      if (speed === undefined)
        throw new SeptumError('process-died', `the uncut network: ${failure ?? `${signal ?? code} ${errorText}`}`);
      return speed;
    } finally {
      options.signal.removeEventListener('abort', stop);
      await children.endAll();
    }
  });
}

function providerWords(provider: Provider | undefined): string[] {
  return provider === undefined ? [] : ['--provider', provider];
}

type PerStep = Omit<StepTimes, 'steps'>;
type Busy = Pick<StepTimes, 'engineMs' | 'threadMs'>;

function differences(process: string, [first, last]: readonly StepTimes[], steps: number): PerStep {
  if (!first || !last) throw new SeptumError('no-times', `${process} reported no times`);
  return {
    ms: (last.ms - first.ms) / steps,
    engineMs: (last.engineMs - first.engineMs) / steps,
    threadMs: (last.threadMs - first.threadMs) / steps,
    processorMs: (last.processorMs - first.processorMs) / steps,
  };
}

function partsOf({ plan }: PlannedStudy, server: PerStep, site: Busy): StepParts {
  // An engine in the process's own thread keeps that thread busy.
  const inline = isInline(plan);
  const messages = (times: Busy): number => Math.max(0, times.threadMs - (inline ? times.engineMs : 0));
  const wire = messages(server) + messages(site);
  const waiting = Math.max(0, server.ms - server.engineMs - site.engineMs - wire);
  return { site: site.engineMs, wire, trunk: server.engineMs, waiting };
}

/** The largest value in each quarter of the last `ms`. */
function peakByQuarter(memory: readonly { readonly ms: number; readonly bytes: number }[], ms: number): number[] {
  const end = memory.at(-1)?.ms ?? 0;
  return [0, 1, 2, 3].map((quarter) => {
    const from = end - ms + (quarter * ms) / 4;
    const own = memory.filter((sample) => sample.ms >= from && sample.ms <= from + ms / 4);
    return own.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  });
}

async function inFolder<T>(studyText: string, work: (folder: string, studyFile: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'septum-bench-'));
  try {
    const studyFile = join(folder, 'study.yaml');
    await writeFile(studyFile, studyText);
    return await work(folder, studyFile);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
