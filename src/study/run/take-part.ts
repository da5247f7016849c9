// A site of a study as a process runs it: records, connection, engine and clock of this machine, handed to the SiteAgent.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../../base/index.ts';
import { systemClock } from '../../base/node/index.ts';
import { deal, type Listing, type ListOptions, type Manifest } from '../../data/index.ts';
import { listRecords, openSiteData } from '../../data/node/index.ts';
import type { EngineInfo } from '../../engine/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import { SiteAgent, type SiteEvent, type SiteKeys, type SiteResult } from '../../site/index.ts';
import { type Plan, planHash } from '../../protocol/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import type { Ledger } from '../../store/index.ts';
import { openFileCommitStore, readPrivateFile, writePrivateFile } from '../../store/node/index.ts';
import { connectWebSocket } from '../../transport/node/index.ts';
import type { Enrolment } from '../enrolment/index.ts';
import { writeModelFolder } from '../model-folder.ts';
import type { Study } from '../study-file.ts';
import { Closing } from './closing.ts';
import { type EngineChoice, enginePlacement } from './placement.ts';
import { randomData } from './random-data.ts';
import type { Recorder } from '../profile/index.ts';
import { recordedSession } from './site-ledger.ts';
import type { StepTimer } from './step-times.ts';
import { openTriedForms } from './tried-forms.ts';
import { versions } from './versions.ts';

export interface TakePartOptions extends EngineChoice {
  readonly study: Study;
  readonly planned: PlannedStudy;
  /** The site's name, one of the plan's. */
  readonly site: string;
  /** The server's address: `wss://HOST:PORT` for a site that has joined, `ws://127.0.0.1:PORT` for one that has not. */
  readonly url: string;
  /** What a site that has joined proves with. */
  readonly keys?: SiteKeys | undefined;
  /** What such a site shows in the TLS handshake. */
  readonly introduce?: Enrolment['introduce'] | undefined;
  /** An HTTP proxy on the way to the server. */
  readonly proxy?: URL | undefined;
  /** The folder or file with the site's records. */
  readonly data: string;
  /** The records that are this site's; without it all that `data` holds are. */
  readonly manifest?: Manifest | undefined;
  /** Instead of real records, so many random ones: to measure speed. */
  readonly randomRecords?: number | undefined;
  /** Times the steps. */
  readonly timer?: StepTimer | undefined;
  /** Records what is done and when. */
  readonly recorder?: Recorder | undefined;
  /** How many bad records may be skipped. */
  readonly skipBad?: number | undefined;
  /** Where the site keeps its commits (commits/); without it it keeps none. */
  readonly stateDir?: string | undefined;
  /** Records every message before it leaves. */
  readonly ledger?: Ledger | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onEngine?: (info: EngineInfo) => void;
  /** Told when a graph runs as it is because its faster form was refused. */
  readonly onNotLowered?: (graph: string, reason: string) => void;
  /** Told how many images have been checked. */
  readonly onChecked?: ListOptions['onChecked'];
  readonly onListing?: (listing: Listing) => void;
  readonly onEvent?: (event: SiteEvent) => void;
  /** Keeps what the site ends with, before the server hears that it has everything. */
  readonly keep?: ((result: SiteResult) => Promise<void>) | undefined;
}

/** Takes part in a study to its end. Throws ConfigError for a name that is not in the study, and what SiteAgent.run and opening the data throw. */
export async function takePart(options: TakePartOptions): Promise<SiteResult> {
  const closing = new Closing();
  try {
    return await part(options, closing);
  } finally {
    await closing.close();
  }
}

async function part(options: TakePartOptions, closing: Closing): Promise<SiteResult> {
  const {
    study,
    planned,
    site,
    url,
    keys,
    introduce,
    proxy,
    data: path,
    signal,
    stateDir,
    recorder,
    onEvent,
  } = options;
  const { plan } = planned;
  closing.defer(async () => recorder?.close());
  const index = plan.sites.indexOf(site);
  if (index < 0)
    throw new ConfigError('bad-usage', `site ${site} is not in the study; its sites are ${plan.sites.join(', ')}`);
  const data =
    options.randomRecords === undefined
      ? await openSiteData(study.data, path, options.manifest ?? (await ownManifest(options)))
      : randomData(plan, index, options.randomRecords);
  closing.defer(() => data.close());
  const placement = enginePlacement(plan, 'site', options);
  const onRefusal = (graph: string, reason: string): void => options.onNotLowered?.(graph, reason);
  const profile = recorder?.engineProfile;
  const commits = stateDir === undefined ? undefined : await openFileCommitStore(join(stateDir, 'commits'));
  const tried = stateDir === undefined ? undefined : openTriedForms(stateDir, site);
  const opened = closing.use(await openEngine({ ...placement, signal, onRefusal, profile, tried }));
  const timed = options.timer?.watch(opened) ?? opened;
  const engine = recorder?.watchEngine(timed) ?? timed;
  options.onEngine?.(engine.info);
  const agent = new SiteAgent({
    plan,
    study: planned.study,
    index,
    data: recorder?.watchData(data) ?? data,
    engine,
    connect: async (connecting) => {
      const introduction = await introduce?.();
      const connection = await connectWebSocket(url, { signal: connecting, proxy, introduction });
      return recorder?.watchConnection(connection) ?? connection;
    },
    keys,
    clock: systemClock,
    signal,
    timeoutMs: options.timeoutMs,
    secretSeed: await ownSecret(plan, site, stateDir),
    commits: commits && (recorder?.watchCommits(commits) ?? commits),
    ledger: options.ledger,
    keep: options.keep,
    onEvent: (event) => {
      if (event.kind === 'step') {
        options.timer?.step();
        recorder?.step();
      }
      onEvent?.(event);
    },
  });
  const about = { study: plan.study, plan: planHash(plan), site, server: url };
  return recordedSession(options.ledger, about, () => agent.run());
}

/**
 * Writes model/ into the site's folder: its segment with the trunk that the server gave it. Gives false, and writes nothing, where the
 * site keeps nothing or was given no trunk.
 */
export async function leaveModel(
  { planned, site, stateDir }: Pick<TakePartOptions, 'planned' | 'site' | 'stateDir'>,
  { trunk, segment, standardisation, classCounts }: SiteResult,
): Promise<boolean> {
  if (stateDir === undefined || !trunk) return false;
  const own = planned.plan.choices.segments === 'private' ? site : '';
  const finished = { ...planned, trunk, standardisation, classCounts, versions: versions() };
  await writeModelFolder(join(stateDir, 'model'), { ...finished, segments: { [own]: segment } });
  return true;
}

/** What the site's segment starts from where that is its secret: kept with its commits, for a process that is started again starts from the same. */
async function ownSecret(plan: Plan, site: string, stateDir: string | undefined): Promise<Uint8Array> {
  if (stateDir === undefined || plan.choices.segmentSeed !== 'site') return randomBytes(16);
  const path = join(stateDir, 'commits', `${site}.seed`);
  if (!existsSync(path)) await writePrivateFile(path, randomBytes(16).toString('hex'));
  return Buffer.from(await readPrivateFile(path), 'hex');
}

/** All records that the site has. */
async function ownManifest(options: TakePartOptions): Promise<Manifest> {
  const { study, planned, data, skipBad = 0, signal, onChecked } = options;
  const listing = await listRecords(study.data, data, { seed: planned.plan.seed, skipBad, signal, onChecked });
  options.onListing?.(listing);
  return deal(listing, [1])[0] as Manifest;
}
