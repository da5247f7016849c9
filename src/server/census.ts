// Before training: the sites that take part are waited for, and their censuses taken, checked and added up.

import { type Clock, DataError, TimeoutError } from '../base/index.ts';
import {
  type Census,
  checkPool,
  classCountOf,
  countsIn,
  type Message,
  momentsIn,
  type Plan,
  quorumOf,
  readCensus,
  requireRecords,
  type Schedule,
  type SiteCounts,
  stepCount,
} from '../protocol/index.ts';
import { tensor } from '../tensor/index.ts';
import type { Pooled, StudySites } from './study-sites.ts';

export interface Gathering {
  readonly plan: Plan;
  readonly sites: StudySites;
  readonly clock: Clock;
  /** How long a quorum is waited for; undefined: until it is there. */
  readonly joinTimeoutMs: number | undefined;
  /** Sites that were waited for in vain: a quorum without them waits no longer. */
  readonly away: ReadonlySet<number>;
}

/**
 * Waits until all sites are there and have said what they have, or, where the study has a quorum, until that many are and the others have
 * had their time. Then the censuses are taken, at once: a site that starts over comes before it or after it. Throws TimeoutError when too
 * few come, DataError when a site has too few records.
 */
export async function gather(gathering: Gathering): Promise<ReadonlyMap<number, Census>> {
  const { plan, sites } = gathering;
  const awaited = sites.left;
  if (awaited.length < quorumOf(plan)) throw tooFewLeft(plan, awaited.length);
  await assemble(gathering, awaited, (site) => sites.isReady(site));
  const there = new Map<number, Census>();
  for (const site of awaited) {
    if (!sites.isReady(site)) continue;
    const census = readCensus(sites.link(site).take('census') as Message);
    requireRecords(plan, site, census.counts.train);
    there.set(site, census);
  }
  return there;
}

/** Waits until all that are awaited are there, or a quorum of them is and the others have had their time. Throws TimeoutError when too few come. */
export async function assemble(
  gathering: Gathering,
  awaited: readonly number[],
  isThere: (site: number) => boolean,
): Promise<void> {
  const { plan, sites } = gathering;
  const missing = (): number[] => awaited.filter((site) => !isThere(site));
  if (plan.quorum === undefined)
    for (let [site] = missing(); site !== undefined; [site] = missing()) await comes(sites, site);
  else await quorumComes(gathering, missing, awaited.length);
}

/** Resolves when a site has been there and has sent its census. */
function comes(sites: StudySites, site: number): Promise<void> {
  const link = sites.link(site);
  return sites.redoing(site, async () => {
    await link.awaitMessages(1, 'census');
    await link.awaitConnection();
  });
}

async function quorumComes(
  { plan, sites, clock, joinTimeoutMs, away }: Gathering,
  missing: () => readonly number[],
  awaitedCount: number,
): Promise<void> {
  const since = clock.nowMs();
  let quorumSince: number | undefined;
  for (;;) {
    sites.throwIfStopped();
    const absent = missing();
    if (absent.length === 0) return;
    const now = clock.nowMs();
    const hasQuorum = awaitedCount - absent.length >= quorumOf(plan);
    quorumSince = hasQuorum ? (quorumSince ?? now) : undefined;
    if (hasQuorum && absent.every((site) => away.has(site))) return;
    const untilMs =
      quorumSince !== undefined
        ? quorumSince + (plan.stragglerTimeoutMs ?? 0)
        : joinTimeoutMs === undefined
          ? Number.POSITIVE_INFINITY
          : since + joinTimeoutMs;
    if (now >= untilMs && hasQuorum) return;
    if (now >= untilMs)
      throw new TimeoutError(
        `${awaitedCount - absent.length} of ${awaitedCount} sites are there after ${Math.round((now - since) / 1000)} s, and the study asks for ${quorumOf(plan)}: ${absent.map((site) => plan.sites[site]).join(', ')} stay away. The study stops`,
      );
    await (untilMs === Number.POSITIVE_INFINITY ? sites.changes.next() : sites.changes.nextWithin(untilMs - now));
  }
}

/** Sites have withdrawn, and those that are left are no quorum. */
export function tooFewLeft(plan: Plan, left: number): DataError {
  return new DataError(
    'too-few-sites',
    `${left} of ${plan.sites.length} sites are left after others withdrew, and the study asks for ${quorumOf(plan)}: it cannot go on`,
  );
}

/** The census of each site that is there made one. The others have no records yet. */
export function together(plan: Plan, there: ReadonlyMap<number, Census>): Pooled {
  const classes = new Int32Array(3 * classCountOf(plan));
  const sums = new Float64Array(3 * (plan.standardisedColumns + 1));
  for (const census of there.values()) {
    for (let index = 0; index < classes.length; index++)
      classes[index] = (classes[index] as number) + (census.classes[index] ?? 0);
    for (let index = 0; index < sums.length; index++) sums[index] = (sums[index] as number) + (census.sums[index] ?? 0);
  }
  const counts = plan.sites.flatMap((_, site) => {
    const { train = 0, val = 0, test = 0 } = there.get(site)?.counts ?? {};
    return [train, val, test];
  });
  return pooledOf(
    {
      counts: tensor('int32', [plan.sites.length, 3], Int32Array.from(counts)),
      classes: tensor('int32', [3, classes.length / 3], classes),
      sums: tensor('float64', [sums.length / 3, 3], sums),
    },
    plan,
  );
}

/** What the `pooled` message's tensors say. */
export function pooledOf(tensors: Pooled['tensors'], plan: Plan): Pooled {
  const [counts, classes, sums] = [tensors.counts.data, tensors.classes.data, tensors.sums.data];
  const siteCounts = countsIn(counts);
  checkPool(plan, siteCounts);
  const moments = momentsIn(sums).map(({ mean, sd }) => [mean, sd] as const);
  return { counts: siteCounts, classes: Array.from(classes.subarray(0, classes.length / 3)), moments, tensors };
}

/** The same with other counts. Throws ProtocolError when they are too many. */
export function withCounts(plan: Plan, { tensors }: Pooled, counts: readonly SiteCounts[]): Pooled {
  const numbers = counts.flatMap(({ train, val, test }) => [train, val, test]);
  return pooledOf({ ...tensors, counts: tensor('int32', [counts.length, 3], Int32Array.from(numbers)) }, plan);
}

/** Server steps of an epoch; with `detached` those on the pool of all passes of the sites that take part. */
export function stepsOfEpoch(plan: Plan, schedule: Schedule): number {
  if (plan.choices.when !== 'detached') return schedule.serverSteps;
  const records = schedule.memberCounts.reduce((sum, count) => sum + count, 0);
  return stepCount(records * (plan.training.augmentPasses + 1), plan.training.batch);
}

/** Throws DataError when a site's records are not as many as when it was counted. */
export function requireSame(plan: Plan, site: number, found: SiteCounts, before: SiteCounts | undefined): void {
  if (before?.train === 0) return; // It does not take part yet.
  if (found.train === before?.train && found.val === before.val && found.test === before.test) return;
  throw otherRecords(`site ${plan.sites[site] ?? ''}`);
}

export function otherRecords(who: string): DataError {
  return new DataError(
    'bad-data',
    `the records of ${who} are not those with which this study began: a study goes on with the same records only`,
  );
}
