// How a course begins: who takes part, where the study goes on, and what everybody is told of it.

import {
  type Census,
  mayStartAt,
  type Plan,
  quorumOf,
  type Schedule,
  scheduleOf,
  type SiteCounts,
} from '../protocol/index.ts';
import { assemble, gather, stepsOfEpoch, tooFewLeft } from './census.ts';
import type { ServerCommit } from './commits.ts';
import type { CourseOptions } from './course.ts';
import { atCommit, atStart, type Beginning, detachedAt, scheduleAt } from './standing.ts';
import type { StudySites } from './study-sites.ts';
import type { Uploads } from './uploads.ts';

/** A course as it begins: from a commit, or the study's start. */
export interface Begun extends Beginning {
  readonly start: ServerCommit | undefined;
  readonly schedule: Schedule;
}

interface BeginOptions extends CourseOptions {
  readonly sites: StudySites;
  /** `detached`. */
  readonly uploads: Uploads | undefined;
}

/** Resolves when it is settled who takes part, and those are told. Throws as `gather` does, and DataError for sites with other records. */
export function begin(options: BeginOptions): Promise<Begun> {
  return options.uploads ? beginDetached(options, options.uploads) : beginLive(options);
}

/**
 * The sites say what they have, and which commits they hold. The study goes on from the newest that all hold who are there and took part
 * when it was made.
 */
async function beginLive(options: BeginOptions): Promise<Begun> {
  const { plan, sites, commits, orders, onStart } = options;
  const there = await gather(options);
  const isStopping = orders.isStopping();
  const first = atStart(plan, there, isStopping);
  sites.settle(first.pooled, first.standing.present);
  const start = await commits?.newest(
    (commit) =>
      mayStartAt(plan, scheduleAt(plan, commit), commit.steps) &&
      [...there].every(([site, { commits: held }]) => commit.present[site] !== true || held.includes(commit.steps)),
    (text) => warn(options, text),
  );
  if (!start) await tellOfNone(options, there);
  const beginning = start ? atCommit(plan, start, there, isStopping) : first;
  onStart(start);
  const begun = await settle(options, beginning, start);
  await Promise.all(sites.members.map((site) => sites.tellPooled(site, beginning.pooled, 0, beginning.standing)));
  return begun;
}

/** What the sites have is known already where the server has a commit: then none has to be there but those that have not uploaded everything. */
async function beginDetached(options: BeginOptions, uploads: Uploads): Promise<Begun> {
  const { plan, sites, commits, orders, onStart } = options;
  const start = await commits?.newest(
    () => true,
    (text) => warn(options, text),
  );
  onStart(start);
  const isStopping = orders.isStopping();
  if (!start) {
    // What there may be was made by what another beginning pooled.
    await uploads.clear();
    return settle(options, atStart(plan, await gather(options), isStopping), undefined);
  }
  const isThere = (site: number) => uploads.isComplete(site) || sites.isReady(site);
  await assemble(
    options,
    sites.left.filter((site) => start.present[site] === true),
    isThere,
  );
  const uploaded = { counts: (site: number) => uploads.counts(site), isThere, withdrawn: orders.withdrawn };
  return settle(options, detachedAt(plan, start, uploaded, isStopping), start);
}

/** From here on it is settled who takes part, and logged before anything is computed. */
async function settle(
  { plan, sites, uploads, logMembers, onEvent }: BeginOptions,
  { pooled, standing }: Beginning,
  start: ServerCommit | undefined,
): Promise<Begun> {
  const { startStep: step, epochs, present, entering } = standing;
  sites.settle(pooled, present);
  uploads?.settle(pooled, standing);
  const schedule = scheduleOf(plan, pooled.counts, standing);
  const epoch = uploads ? (start?.history.length ?? 0) : schedule.placeOf(step).epoch;
  const { members } = sites;
  // A quorum is for training; what is trained is evaluated with those that are there.
  if (members.length < (epoch < epochs ? quorumOf(plan) : 1)) throw tooFewLeft(plan, members.length);
  const named = (isIn: readonly boolean[], wanted = true) => plan.sites.filter((_, site) => isIn[site] === wanted);
  const entry = { step, epoch, epochs, pooled: !start, sites: named(present), entering: named(entering) };
  if (plan.quorum !== undefined || epochs < plan.training.epochs) await logMembers?.(entry);
  if (members.length < plan.sites.length || entry.entering.length > 0)
    onEvent?.({ kind: 'members', ...entry, away: named(present, false) });
  onEvent?.({
    kind: 'counts',
    counts: countsByName(plan, pooled.counts),
    epochs,
    stepsPerEpoch: stepsOfEpoch(plan, schedule),
  });
  return { pooled, standing, start, schedule };
}

/** A study that begins at its start although the server has commits loses what was trained. */
async function tellOfNone(options: BeginOptions, there: ReadonlyMap<number, Census>): Promise<void> {
  const { plan, commits } = options;
  const own = (await commits?.list()) ?? [];
  if (own.length === 0) return;
  const without = [...there].flatMap(([site, { commits: held }]) =>
    held.some((steps) => own.includes(steps)) ? [] : [plan.sites[site] ?? ''],
  );
  warn(
    options,
    `the server has commits (after step ${own.join(' and ')}), but there is none that all sites have${without.length > 0 ? ` (${without.join(', ')} ${without.length === 1 ? 'has' : 'have'} none of them)` : ''}: the study begins again at its start`,
  );
}

function warn({ onEvent }: BeginOptions, text: string): void {
  onEvent?.({ kind: 'warning', text });
}

export function countsByName(plan: Plan, counts: readonly SiteCounts[]): Readonly<Record<string, SiteCounts>> {
  return Object.fromEntries(plan.sites.map((site, index) => [site, counts[index] as SiteCounts]));
}
