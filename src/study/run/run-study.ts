// A whole study on this machine: records are dealt, a server and its sites run as processes of their own over loopback, and a folder
// with the results is left behind; a readable one too when the run is interrupted or fails.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, DataError } from '../../base/index.ts';
import type { Listing, ListOptions, Manifest } from '../../data/index.ts';
import { listRecords } from '../../data/node/index.ts';
import { type Plan, planHash, Schedule } from '../../protocol/index.ts';
import { type ServerResult, stepsOfEpoch } from '../../server/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { atomicWriteFile } from '../../store/node/index.ts';
import { type Dealing, dealStudy } from '../dealing.ts';
import { type ProfileTable, writeProfile } from '../profile/index.ts';
import type { MetricsFile } from '../metrics-file.ts';
import { dealtSharesOf, planOf, type StudyOverrides } from '../planned-study.ts';
import type { Baseline } from '../report/index.ts';
import type { Study } from '../study-file.ts';
import type { Ending } from './children.ts';
import { linearBaseline } from './linear-baseline.ts';
import { takeOver, type Weights } from './hand-over.ts';
import { checkBegun, checkOutFolder, claimOutFolder } from './out-folder.ts';
import { PartialRun } from './partial-run.ts';
import type { Report, SiteFigures } from './reports.ts';
import { RunLog } from './run-log.ts';
import { runProcesses } from './study-processes.ts';
import { type RunFacts, leavePartialResults, writeResults } from './write-results.ts';

export interface RunOptions {
  readonly study: Study;
  readonly overrides?: Omit<StudyOverrides, 'siteNames'>;
  /** The folder or file with all sites' records; not looked at for synthetic records. */
  readonly data: string;
  readonly out: string;
  /** Replaces what an earlier run left in `out`. */
  readonly force?: boolean;
  /** Goes on with a run that ended early in `out`, from its newest commit. */
  readonly resume?: boolean;
  /** How many bad records may be skipped. Default 0. */
  readonly skipBad?: number;
  /** Threads of the server's engine. Default: all cores. */
  readonly serverThreads?: number | undefined;
  /** How long the study waits for a site that is lost. Default 60 s. */
  readonly timeoutMs?: number;
  /** Also fits a linear model to the raw inputs of all sites' records, which only one machine's own records allow. Default false. */
  readonly baseline?: boolean;
  /** Writes profile.json, a Chrome trace of some of the steps. Default false. */
  readonly profile?: boolean;
  /** When it aborts, every process is ended and the folder is left readable. */
  readonly signal?: AbortSignal;
  /** Told how many images have been checked, before anything starts. */
  readonly onChecked?: ListOptions['onChecked'];
  readonly onEvent?: (event: RunEvent) => void;
}

/** The steps that are profiled: the first are slow, and some tens show what the others are like. */
function profiledSteps(plan: Plan, manifests: readonly Manifest[]): { readonly from: number; readonly to: number } {
  const schedule = new Schedule(
    plan,
    manifests.map(({ parts }) => parts.train.ids.length),
  );
  const steps = plan.training.epochs * stepsOfEpoch(plan, schedule);
  if (steps < 2) throw new ConfigError('bad-usage', '--profile: the study has one step only; it takes two or more');
  return { from: Math.min(20, Math.ceil(steps / 3)), to: Math.min(60, steps) };
}

/** What happens in a run, in order. */
export type RunEvent =
  | { readonly kind: 'planned'; readonly planned: PlannedStudy }
  | {
      readonly kind: 'dealt';
      readonly listing: Listing;
      readonly dealing: Dealing;
      readonly manifests: readonly Manifest[];
    }
  | { readonly kind: 'started'; readonly process: string; readonly pid: number }
  | { readonly kind: 'report'; readonly process: string; readonly report: Report }
  | { readonly kind: 'ended'; readonly process: string; readonly ending: Ending }
  /** A site's process is gone, and the study goes on with those that are left: they are a quorum. */
  | {
      readonly kind: 'lost';
      readonly site: string;
      readonly reason: string;
      readonly left: number;
      readonly quorum: number;
    };

/** What a run has at its end. */
export interface RunResult {
  readonly planned: PlannedStudy;
  readonly listing: Listing;
  readonly dealing: Dealing;
  readonly metrics: MetricsFile;
  readonly baselines: readonly Baseline[];
  readonly server: ServerResult;
  /** By name; a site that was lost, or of a `detached` study went after its upload, is missing. */
  readonly sites: Readonly<Record<string, SiteFigures>>;
  /** Sites that the study went on without, by name, with the reason. */
  readonly lost: Readonly<Record<string, string>>;
  /** Seconds from start to end, start-up and validation included. */
  readonly seconds: number;
  /** Where the time went, if it was to be profiled. */
  readonly profile?: ProfileTable;
  /** The largest resident set of each process, bytes. */
  readonly peakBytes: Readonly<Record<string, number>>;
}

/**
 * Runs a study. Throws ConfigError, DataError or EngineError before it starts, what a process failed with, SeptumError `process-died`
 * for one that died, or the signal's reason; but where a quorum is left without a site, the study goes on without it. Whatever happens, no process is left when it settles.
 */
export async function runStudy(options: RunOptions): Promise<RunResult> {
  const { study, overrides = {}, data, out, force = false, resume = false, skipBad = 0, signal } = options;
  const { onChecked, onEvent } = options;
  const startMs = performance.now();
  const shares = dealtSharesOf(study, overrides);
  const planned = planOf(study, overrides);
  const { plan } = planned;
  // Commits are kept under the names of sites, and `server`.
  if (plan.sites.includes('server')) throw new ConfigError('bad-study', 'a site cannot be called "server"');
  if (!resume) await checkOutFolder(out, force);
  else if (!(await checkBegun(out, planHash(plan), '--out')))
    throw new ConfigError('bad-usage', `--resume: ${out} holds no run to go on with; start it without --resume`);
  onEvent?.({ kind: 'planned', planned });
  const listing = await listRecords(study.data, data, { seed: plan.seed, skipBad, signal, onChecked });
  const { dealing, manifests } = dealStudy(listing, shares);
  const steps = options.profile === true ? profiledSteps(plan, manifests) : undefined;
  signal?.throwIfAborted();
  if (!resume) await claimOutFolder(out);
  await atomicWriteFile(join(out, 'study.yaml'), study.text);
  await atomicWriteFile(join(out, 'plan.json'), `${JSON.stringify(plan, null, 2)}\n`);

  const { synthetic } = listing;
  const facts: RunFacts = { planned, out, synthetic, local: { listing, dealing, manifests, data } };
  const log = await RunLog.open(join(out, 'log.jsonl'), {
    plan,
    method: study.method,
    data,
    skipBad,
  });
  const seen = new PartialRun(plan);
  const secret = await mkdtemp(join(tmpdir(), 'septum-'));
  const tell = (event: RunEvent): void => {
    log.write(event);
    seen.take(event);
    onEvent?.(event);
  };
  const secondsSoFar = (): number => (performance.now() - startMs) / 1000;
  const profile = steps && { folder: join(secret, 'profile'), ...steps };
  let result: RunResult;
  try {
    if (profile) await mkdir(profile.folder);
    tell({ kind: 'dealt', listing, dealing, manifests });
    const {
      server: figures,
      sites,
      peakBytes,
      lost,
    } = await runProcesses({
      planned,
      // A study that names a model file is read where it stands, for the file's path starts there.
      studyFile: (study.network.file ?? study.network.start) === undefined ? join(out, 'study.yaml') : study.fileName,
      stateDir: out,
      secret,
      serverArguments: options.serverThreads === undefined ? [] : ['--threads', String(options.serverThreads)],
      siteArguments: await manifestArguments(manifests, data, secret),
      timeoutMs: options.timeoutMs ?? 60_000,
      profile,
      signal: AbortSignal.any([...(signal ? [signal] : []), log.failed]),
      tell,
    });
    const server: ServerResult = { ...figures, ...(await collectWeights(plan.sites, secret)) };
    const seconds = secondsSoFar();
    const baselines = options.baseline ? await linearBaseline(study, plan, listing, data) : [];
    const metrics = await writeResults(facts, { server, sites, lost, peakBytes, seconds, baselines });
    const table = profile && { profile: await writeProfile(profile.folder, join(out, 'profile.json')) };
    result = {
      planned,
      listing,
      dealing,
      metrics,
      baselines,
      server,
      sites,
      lost,
      seconds,
      peakBytes,
      ...table,
    };
    log.finish(result);
  } catch (error) {
    await leavePartialResults(facts, { log, seen, seconds: secondsSoFar(), reason: error });
    throw error;
  } finally {
    await rm(secret, { recursive: true, force: true });
  }
  await log.close();
  return result;
}

/** Writes each site's list of records, and gives the arguments that name it. */
async function manifestArguments(
  manifests: readonly Manifest[],
  data: string,
  secret: string,
): Promise<(site: string, index: number) => readonly string[]> {
  const fileOf = (index: number): string => join(secret, `manifest-${index}.json`);
  for (const [index, manifest] of manifests.entries())
    await atomicWriteFile(fileOf(index), JSON.stringify(manifest), { mode: 0o600 });
  return (_, index) => ['--data', data, '--manifest', fileOf(index)];
}

/** Trunk and segments as the processes handed them over; a site's own where the server was not given it. */
async function collectWeights(
  sites: readonly string[],
  secret: string,
): Promise<{ readonly trunk: NonNullable<Weights['trunk']>; readonly segments: Weights['segments'] }> {
  const server = await takeOver(join(secret, 'server'), 'server');
  if (!server?.trunk) throw new DataError('missing-data', 'the server handed over no trunk');
  if ('' in server.segments) return { trunk: server.trunk, segments: server.segments };
  const segments: Record<string, Weights['segments'][string]> = { ...server.segments };
  for (const site of sites) {
    const own = (await takeOver(join(secret, 'sites'), site))?.segments[site];
    if (own) segments[site] = own;
  }
  return { trunk: server.trunk, segments };
}
