// Where a study goes on, and with whom (SEMANTICS.md, "Everything random" to "The law"): from its commit and from the sites that are there.

import { DataError } from '../base/index.ts';
import {
  type Census,
  type Plan,
  type Schedule,
  scheduleOf,
  type SiteCounts,
  type Standing,
} from '../protocol/index.ts';
import { bytesOf, tensor } from '../tensor/index.ts';
import { pooledOf, together } from './census.ts';
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

/** `detached`, from a commit: no site has to be there, and what one uploaded that has withdrawn since is not in the pool any more. */
export function detachedAt(
  plan: Plan,
  commit: ServerCommit,
  withdrawn: (site: number) => boolean,
  isStopping: boolean,
): Beginning {
  const present = commit.present.map((was, site) => was && !withdrawn(site));
  const isSmaller = present.some((is, site) => is !== commit.present[site]);
  return {
    pooled: pooledIn(commit, plan),
    standing: {
      startStep: commit.steps,
      epochs: epochsOf(plan, commit, isStopping),
      base: isSmaller ? { epoch: commit.history.length, steps: commit.steps } : commit.base,
      present,
      entering: plan.sites.map(() => false),
      isOver: false,
    },
  };
}

/** A study that is stopped ends after the epochs that are complete, but after one at least. */
function epochsOf(plan: Plan, { history }: ServerCommit, isStopping: boolean): number {
  return isStopping ? Math.max(1, history.length) : plan.training.epochs;
}

function withCounts(plan: Plan, { tensors }: Pooled, counts: readonly SiteCounts[]): Pooled {
  const numbers = counts.flatMap(({ train, val, test }) => [train, val, test]);
  return pooledOf({ ...tensors, counts: tensor('int32', [counts.length, 3], Int32Array.from(numbers)) }, plan);
}

/** Throws DataError unless a site has as many records as before, if it had any. */
export function requireSame(plan: Plan, site: number, found: SiteCounts, before: SiteCounts | undefined): void {
  if (before?.train === 0) return; // It does not take part yet.
  if (found.train === before?.train && found.val === before.val && found.test === before.test) return;
  throw otherRecords(`site ${plan.sites[site] ?? ''}`);
}

function requireSameSums({ tensors: found }: Pooled, { tensors: before }: Pooled): void {
  const same = (['classes', 'sums'] as const).every((name) => {
    const [now, then] = [bytesOf(found[name]), bytesOf(before[name])];
    return now.every((byte, index) => byte === then[index]);
  });
  if (!same) throw otherRecords('the sites');
}

function otherRecords(who: string): DataError {
  return new DataError(
    'bad-data',
    `the records of ${who} are not those with which this study began: a study goes on with the same records only`,
  );
}
