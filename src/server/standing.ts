// Where a study goes on, and with whom (SEMANTICS.md, "Everything random" to "The law"): from its commit and from the sites that are there.

import {
  type Census,
  type Plan,
  type Schedule,
  scheduleOf,
  type SiteCounts,
  type Standing,
} from '../protocol/index.ts';
import { bytesOf } from '../tensor/index.ts';
import { otherRecords, requireSame, stepsOfEpoch, together, withCounts } from './census.ts';
import { pooledIn } from './commit-tensors.ts';
import type { ServerCommit } from './commits.ts';
import type { Pooled } from './study-sites.ts';

type There = ReadonlyMap<number, Census>;

/** A study that goes on. */
export interface Beginning {
  readonly pooled: Pooled;
  readonly standing: Standing;
}

/** From its start, with the sites that are there. */
export function atStart(plan: Plan, there: There, isStopping: boolean): Beginning {
  return {
    pooled: together(plan, there),
    standing: {
      startStep: 0,
      epochs: isStopping ? 1 : plan.training.epochs,
      base: { epoch: 0, steps: 0 },
      present: plan.sites.map((_, site) => there.has(site)),
      entering: plan.sites.map(() => false),
      isOver: false,
    },
  };
}

/** The schedule by which the study stood at a commit. */
export function scheduleAt(plan: Plan, commit: ServerCommit): Schedule {
  return scheduleOf(plan, pooledIn(commit, plan).counts, commit);
}

/**
 * From a commit, with the sites that are there. Those that took part when it was made hold it; the others enter, if there is still an epoch
 * to train. With a site whose records are not counted yet the epochs have other steps from here on, and the present one begins anew.
 * Throws DataError when a site's records are not those with which it began.
 */
export function atCommit(plan: Plan, commit: ServerCommit, there: There, isStopping: boolean): Beginning {
  const epochs = epochsOf(plan, commit, isStopping);
  const { length: epoch } = commit.history;
  const before = pooledIn(commit, plan);
  const present = plan.sites.map((_, site) => there.has(site) && (commit.present[site] === true || epoch < epochs));
  const isNew = (site: number) => present[site] === true && before.counts[site]?.train === 0;
  const isAny = plan.sites.some((_, site) => isNew(site));
  const counts = plan.sites.map(
    (_, site) => (isNew(site) ? there.get(site)?.counts : undefined) ?? before.counts[site],
  );
  for (const [site, { counts: found }] of there) requireSame(plan, site, found, counts[site]);
  // What the sums are of is known as long as no site has entered since.
  const began = before.counts.flatMap(({ train }, site) => (train > 0 ? [site] : []));
  if (commit.base.epoch === 0 && !isAny && began.every((site) => there.has(site)))
    requireSameSums(together(plan, new Map(began.map((site) => [site, there.get(site) as Census]))), before);
  return {
    pooled: isAny ? withCounts(plan, before, counts as readonly SiteCounts[]) : before,
    standing: {
      startStep: commit.steps,
      epochs,
      base: isAny ? { epoch, steps: commit.steps } : commit.base,
      present,
      entering: present.map((takesPart, site) => takesPart && commit.present[site] !== true),
      isOver: false,
    },
  };
}

/** What `detached` goes on with. */
interface Uploaded {
  /** The records of a site that has uploaded everything; undefined for another. */
  readonly counts: (site: number) => SiteCounts | undefined;
  /** Whether a site that has not is about to. */
  readonly isThere: (site: number) => boolean;
  readonly withdrawn: (site: number) => boolean;
}

/**
 * `detached`, from a commit: the pool is of the sites of which it was, without those that withdrew and those that stay away with their
 * uploads unfinished. Between two epochs the sites enter that have uploaded everything since.
 */
export function detachedAt(
  plan: Plan,
  commit: ServerCommit,
  { counts: uploaded, isThere, withdrawn }: Uploaded,
  isStopping: boolean,
): Beginning {
  const epochs = epochsOf(plan, commit, isStopping);
  const { steps, history, base } = commit;
  const before = pooledIn(commit, plan);
  const stepsPerEpoch = stepsOfEpoch(plan, scheduleAt(plan, commit));
  const isBetween = steps === base.steps + (history.length - base.epoch) * stepsPerEpoch;
  const mayEnter = isBetween && history.length < epochs;
  const present = commit.present.map(
    (was, site) => !withdrawn(site) && (uploaded(site) ? was || mayEnter : was && isThere(site)),
  );
  const entering = present.map((is, site) => is && commit.present[site] !== true);
  const counts = before.counts.map((counted, site) => (entering[site] ? (uploaded(site) as SiteCounts) : counted));
  const isOther = present.some((is, site) => is !== commit.present[site]);
  return {
    pooled: entering.includes(true) ? withCounts(plan, before, counts) : before,
    standing: {
      startStep: steps,
      epochs,
      base: isOther ? { epoch: history.length, steps } : base,
      present,
      entering,
      isOver: false,
    },
  };
}

/** A study that is stopped ends after the epochs that are complete, but after one at least. */
function epochsOf(plan: Plan, { history }: ServerCommit, isStopping: boolean): number {
  return isStopping ? Math.max(1, history.length) : plan.training.epochs;
}

function requireSameSums({ tensors: found }: Pooled, { tensors: before }: Pooled): void {
  const same = (['classes', 'sums'] as const).every((name) => {
    const [now, then] = [bytesOf(found[name]), bytesOf(before[name])];
    return now.every((byte, index) => byte === then[index]);
  });
  if (!same) throw otherRecords('the sites');
}
