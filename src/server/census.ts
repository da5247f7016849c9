// Before training: every site's census is taken, checked and added up.

import { assert } from '../base/index.ts';
import {
  type Census,
  checkPool,
  classCountOf,
  countsIn,
  momentsIn,
  type Plan,
  readCensus,
  requireRecords,
  Schedule,
  type SiteCounts,
} from '../protocol/index.ts';
import { tensor } from '../tensor/index.ts';
import type { Pooled, StudySites } from './study-sites.ts';

/** A site's census, and how often the site had started over by then. */
interface Taken {
  readonly census?: Census;
  readonly restarts: number;
}

/**
 * Takes every site's census and settles what they make together; then tells all sites, with the step that `startStep` gives: the study
 * goes on from there. `commits` are what each site holds. Throws DataError when a site has too few records, and what `startStep` throws.
 */
export async function takeCensuses(
  plan: Plan,
  sites: StudySites,
  startStep: (pooled: Pooled, commits: readonly (readonly number[])[]) => Promise<number> | number,
  chunksHeld: (site: number, pooled: Pooled) => number,
): Promise<Pooled> {
  const taken = sites.links.map((): Taken => ({ restarts: -1 }));
  const absent = () =>
    taken.findIndex(({ restarts }, site) => restarts !== sites.restarts(site) || !sites.link(site).connected);
  for (let site = absent(); site >= 0; site = absent()) taken[site] = await takeCensus(sites, site, taken[site]);
  // From here to the next wait all is done at once: a site that starts over comes before it or after it.
  const censuses = taken.map(({ census }) => {
    assert(census, 'every site has sent its census');
    return census;
  });
  const pooled = together(plan, censuses);
  sites.settle(pooled);
  const found = startStep(
    pooled,
    censuses.map(({ commits }) => commits),
  );
  const start = typeof found === 'number' ? found : await found;
  await Promise.all(plan.sites.map((_, site) => sites.tellPooled(site, pooled, chunksHeld(site, pooled), start)));
  return pooled;
}

/** A site's census; resolves when the site is there. `known` is what was taken before: it holds unless the site has started over since. */
function takeCensus(sites: StudySites, site: number, known: Taken | undefined): Promise<Taken> {
  const link = sites.link(site);
  return sites.redoing(site, async (restarts) => {
    const taken =
      known?.restarts === restarts ? known : { census: readCensus((await link.receive('census')).message), restarts };
    await link.awaitConnection();
    return taken;
  });
}

/** The census of each site made one. Throws DataError when a site has too few records. */
function together(plan: Plan, censuses: readonly Census[]): Pooled {
  const classes = new Int32Array(3 * classCountOf(plan));
  const sums = new Float64Array(3 * (plan.standardisedColumns + 1));
  for (const [site, census] of censuses.entries()) {
    requireRecords(plan, site, census.counts.train);
    for (let index = 0; index < classes.length; index++)
      classes[index] = (classes[index] as number) + (census.classes[index] ?? 0);
    for (let index = 0; index < sums.length; index++) sums[index] = (sums[index] as number) + (census.sums[index] ?? 0);
  }
  const counts = censuses.flatMap(({ counts: { train, val, test } }) => [train, val, test]);
  return pooledOf(
    {
      counts: tensor('int32', [censuses.length, 3], Int32Array.from(counts)),
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

/** Server steps of an epoch; with `detached` those on the pool of all passes. */
export function stepsOfEpoch(plan: Plan, counts: readonly SiteCounts[]): number {
  const trainCounts = counts.map(({ train }) => train);
  if (plan.choices.when !== 'detached') return new Schedule(plan, trainCounts).serverSteps;
  const pool = trainCounts.reduce((sum, count) => sum + count, 0) * (plan.training.augmentPasses + 1);
  return Math.ceil(pool / plan.training.batch);
}
