// The results of a run as files: model, figures, report.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/index.ts';
import type { Listing, Manifest } from '../../data/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import type { ServerResult } from '../../server/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { atomicWriteFile } from '../../store/node/index.ts';
import type { Dealing } from '../dealing.ts';
import { type MetricsFile, metricsOfRun, metricsText } from '../metrics-file.ts';
import { readModelFolder, writeModelFolder } from '../model-folder.ts';
import {
  type Baseline,
  imageStrip,
  type ProcessFigures,
  type ReportContent,
  reportHtml,
  type Strip,
} from '../report/index.ts';
import type { PartialRun } from './partial-run.ts';
import type { RunLog } from './run-log.ts';
import type { SiteFigures } from './reports.ts';
import { versions } from './versions.ts';

/** What is known of a run before it trains. Only a run on one machine knows the records. */
export interface RunFacts {
  readonly planned: PlannedStudy;
  readonly out: string;
  readonly synthetic: boolean;
  readonly local?: {
    readonly listing: Listing;
    readonly dealing: Dealing;
    readonly manifests: readonly Manifest[];
    readonly data: string;
  };
}

/** What a run that reached its end has. */
export interface RunOutcome {
  readonly server: ServerResult;
  readonly sites: Readonly<Record<string, SiteFigures>>;
  /** Sites that the study went on without. */
  readonly lost?: Readonly<Record<string, string>>;
  readonly peakBytes: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly baselines: readonly Baseline[];
}

/** Writes model/, metrics.json and report.html. */
export async function writeResults(facts: RunFacts, outcome: RunOutcome): Promise<MetricsFile> {
  const { planned, local, out } = facts;
  const { plan } = planned;
  const { server, seconds, baselines, lost = {} } = outcome;
  const metrics = metricsOfRun(plan, server);
  const finished = { ...planned, ...server, dealing: local?.dealing, versions: versions() };
  // A server that was given no segment has half a model; the sites have the other.
  const model = join(out, 'model');
  await rm(model, { recursive: true, force: true }); // Of a run that ended while it wrote it.
  if (Object.keys(server.segments).length > 0) await writeModelFolder(model, finished);
  await atomicWriteFile(join(out, 'metrics.json'), metricsText(metrics));
  const about = aboutRun(facts);
  const content: ReportContent = {
    ...about,
    remarks: [
      ...about.remarks,
      ...Object.keys(lost).map((site) => `${site} was lost, and the study went on without it`),
    ],
    metrics,
    history: server.history,
    bestEpoch: server.bestEpoch,
    baselines,
    strip: await stripOf(facts, lost),
    processes: processFigures(outcome),
    seconds,
  };
  await atomicWriteFile(join(out, 'report.html'), reportHtml(content));
  return metrics;
}

/** What is known of a run that did not reach its end. */
interface Ended {
  readonly log: RunLog;
  readonly seen: PartialRun;
  readonly seconds: number;
  readonly reason: unknown;
}

/**
 * What is left of a run that did not reach its end: metrics.json of the best epoch so far, a report that says why, and the log, closed.
 * Never rejects: where the disk is full or read-only that is why the run ended, and the reason is what its operator has to hear.
 */
export async function leavePartialResults(facts: RunFacts, ended: Ended): Promise<void> {
  ended.log.fail(ended.reason);
  await writePartialResults(facts, ended).catch(() => undefined);
  await ended.log.close().catch(() => undefined);
}

async function writePartialResults(facts: RunFacts, { seen, seconds, reason }: Ended): Promise<void> {
  const { out } = facts;
  const metrics = seen.metrics();
  await atomicWriteFile(join(out, 'metrics.json'), metricsText(metrics));
  const content: ReportContent = {
    ...aboutRun(facts),
    metrics,
    history: seen.history,
    bestEpoch: seen.history.findLastIndex(({ best }) => best),
    seconds,
    stopped: messageOf(reason),
  };
  await atomicWriteFile(join(out, 'report.html'), reportHtml(content));
}

function aboutRun({ planned, synthetic, local }: RunFacts) {
  return {
    plan: planned.plan,
    dealing: local?.dealing,
    synthetic,
    remarks: local ? [...local.listing.skipped, ...local.listing.warnings] : [],
    versions: versions(),
  };
}

/** Pictures of validation records of the first site that has a model; none for tables. */
async function stripOf(
  { planned, local, out }: RunFacts,
  lost: Readonly<Record<string, string>>,
): Promise<Strip | undefined> {
  const index = planned.plan.sites.findIndex((name) => !(name in lost));
  const site = planned.plan.sites[index];
  const manifest = local?.manifests[index];
  if (planned.plan.network.inputDims.length !== 3 || site === undefined || !local || !manifest) return undefined;
  const model = await readModelFolder(join(out, 'model'));
  const engine = await openEngine({ threads: 1 });
  try {
    return await imageStrip({ model, engine, dataPath: local.data, manifest, site });
  } finally {
    await engine.close();
  }
}

function processFigures({ server, sites, peakBytes }: RunOutcome): ProcessFigures[] {
  const atSites = Object.entries(sites).map(([name, { computedMs, waitedMs }]) => ({
    name,
    computedMs,
    waitedMs,
    peakBytes: peakBytes[name],
  }));
  return [{ name: 'server', waitedMs: server.waitedMs, peakBytes: peakBytes['server'] }, ...atSites];
}
