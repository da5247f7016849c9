// `septum site`: under a run it reports to its parent, else to the terminal.

import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../base/index.ts';
import type { Manifest } from '../data/index.ts';
import type { Ledger } from '../store/index.ts';
import {
  collectAtOnce,
  handOver,
  hasParent,
  hasWithdrawn,
  joinedStudies,
  leaveModel,
  openEnrolment,
  openSiteLedger,
  planOf,
  proxyFor,
  readStudy,
  StepTimer,
  takePart,
  type TakePartOptions,
  underParent,
} from '../study/index.ts';
import { approvePlan } from './approval.ts';
import { checkedImages } from './checked-images.ts';
import type { SiteFlags } from './commands/site.ts';
import { fail, interruption } from './exit.ts';
import { recorderOf } from './recorder-of.ts';
import { Screen } from './screen.ts';
import { SiteProgress } from './site-progress.ts';

export async function site(flags: SiteFlags): Promise<number> {
  collectAtOnce();
  if (hasParent()) return siteOfRun(flags);
  const screen = new Screen();
  let ledger: Ledger | undefined;
  try {
    const options = await partOptions(flags, interruption());
    const { stateDir } = options;
    const { plan } = options.planned;
    ledger = stateDir === undefined ? undefined : await openSiteLedger(stateDir);
    await approvePlan({ plan, approve: flags.approve, stateDir, ledger, screen, signal: options.signal });
    const progress = new SiteProgress(screen, options.site);
    progress.joins(plan, options.url);
    let hasModel = false;
    const result = await takePart({
      ...options,
      ledger,
      keep: async (kept) => {
        hasModel = await leaveModel(options, kept);
      },
      onChecked: checkedImages(screen),
      onListing: (listing) => progress.listed(listing),
      onEvent: (event) => progress.take(event),
    });
    screen.done();
    progress.finished(result);
    if (stateDir !== undefined && hasModel) screen.line(`model: ${join(stateDir, 'model')}`);
    await ledger?.close();
    return 0;
  } catch (error) {
    screen.done();
    // What went wrong is told; a ledger that cannot be closed has told it already.
    await ledger?.close().catch(() => undefined);
    return fail(error);
  }
}

/** A site of a run: who started the run has approved its plan. */
function siteOfRun(flags: SiteFlags): Promise<number> {
  return underParent(async (tell, signal) => {
    const options = await partOptions(flags, signal);
    const stepsToo = options.planned.plan.choices.labels === 'site';
    await using ledger = flags.ledger === undefined ? undefined : await openSiteLedger(flags.ledger);
    const result = await takePart({
      ...options,
      ledger,
      keep: async ({ trunk, segment }) => {
        if (flags.handOver !== undefined)
          await handOver(flags.handOver, options.site, { trunk, segments: { [options.site]: segment } });
      },
      recorder: recorderOf(options.site, flags),
      timer: flags.timeSteps && new StepTimer(flags.timeSteps, (times) => tell({ kind: 'times', times })),
      onEngine: (info) => tell({ kind: 'engine', info }),
      onNotLowered: (graph, reason) => tell({ kind: 'not-lowered', graph, reason }),
      // With the labels at the server it reports every site's steps itself.
      onEvent: (event) => {
        if (stepsToo || event.kind !== 'step') tell({ kind: 'site', event });
      },
    });
    const {
      trunk: _trunk,
      segment: _segment,
      standardisation: _standardisation,
      classCounts: _classCounts,
      ...figures
    } = result;
    tell({ kind: 'site-done', figures });
  });
}

async function partOptions(flags: SiteFlags, signal: AbortSignal): Promise<TakePartOptions> {
  const { site, studyFile, ...way } = await wayToServer(flags);
  const study = await readStudy(studyFile);
  const manifest = flags.manifest === undefined ? undefined : await takeManifest(flags.manifest);
  return {
    study,
    planned: planOf(study, { seed: flags.seed, siteCount: flags.sites }),
    site,
    ...way,
    data: flags.data,
    manifest,
    randomRecords: flags.randomRecords,
    skipBad: flags.skipBad,
    threads: flags.threads,
    provider: flags.provider,
    timeoutMs: flags.timeout ?? 60_000,
    signal,
  };
}

/** Who this site is, where its server is and how it proves itself there. Throws ConfigError. */
async function wayToServer({ server, name, study, state, proxy }: SiteFlags) {
  if (server === undefined) {
    if (state === undefined)
      throw new ConfigError(
        'bad-usage',
        '--state FOLDER is missing: where septum join was; or --server for a server on this machine',
      );
    if (name !== undefined)
      throw new ConfigError('bad-usage', '--name goes with --server: a site that has joined has its name');
    const joined = await placeOf(state, study);
    const enrolment = await openEnrolment(joined.place);
    if (enrolment.withdrawn !== undefined) throw hasWithdrawn(enrolment);
    const { site, url, keys, introduce } = enrolment;
    const way = { url, keys, introduce, proxy: proxyFor(url, proxy) };
    return { site, ...way, studyFile: joined.studyFile, stateDir: joined.place };
  }
  if (name === undefined || study === undefined)
    throw new ConfigError('bad-usage', '--server needs --name and --study as well');
  if (!server.startsWith('ws:'))
    throw new ConfigError(
      'bad-usage',
      `--server ${server}: expected ws://127.0.0.1:PORT; a server elsewhere is reached after septum join, with --state`,
    );
  return { site: name, url: server, studyFile: study, stateDir: state };
}

/** The folder of the study that the site is to take part in, and its study file. `study` is the name of one that it has joined, or a file. */
async function placeOf(state: string, study: string | undefined): Promise<{ place: string; studyFile: string }> {
  const joined = await joinedStudies(state);
  const named = study === undefined ? undefined : joined.get(study);
  const kept = (place: string) => {
    const studyFile = join(place, 'study.yaml');
    if (joined.size === 0 || existsSync(studyFile)) return { place, studyFile };
    const problem =
      'is not there: put the study file, which the coordinating centre has, there, or name it with --study';
    throw new ConfigError('bad-usage', `${studyFile} ${problem}`);
  };
  if (named !== undefined) return kept(named);
  if (joined.size < 2) {
    const [place = state] = joined.values();
    return study === undefined ? kept(place) : { place, studyFile: study };
  }
  const names = [...joined.keys()].join(', ');
  if (study === undefined)
    throw new ConfigError('bad-usage', `--state ${state}: the site has joined ${names}: say which, with --study`);
  const { name } = await readStudy(study);
  const place = joined.get(name);
  if (place === undefined)
    throw new ConfigError('bad-usage', `${study}: the site has not joined study ${name}; it has joined ${names}`);
  return { place, studyFile: study };
}

/** The run's list of this site's records; it is not left lying about. */
async function takeManifest(file: string): Promise<Manifest> {
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest;
  await rm(file);
  return manifest;
}
