// What the server tells all sites before training, read and checked.

import { ProtocolError } from '../base/index.ts';
import { checkPool, checkSums } from './census.ts';
import { classWeights } from './class-weights.ts';
import type { Message } from './message.ts';
import { meanAndSd, type Moments } from './moments.ts';
import type { Plan } from './plan.ts';
import { Schedule } from './schedule.ts';
import { mayStartAt, type SiteCounts, uploadChunks } from './script.ts';

/** The pool's facts. */
export interface PooledFacts {
  readonly counts: readonly SiteCounts[];
  /** Training records of each class over all sites; one number for regression. */
  readonly classCounts: readonly number[];
  /** Weight of each class in the loss; [1] for regression. */
  readonly classWeights: readonly number[];
  /** Of each standardised input column. */
  readonly inputs: readonly Moments[];
  readonly target: Moments;
  /** `detached`: chunks that the server holds already. */
  readonly chunksHeld: number;
  /** Server steps before the commit that the study goes on from; 0 at its start. */
  readonly startStep: number;
}

/** The sites' counts in the numbers of `counts`, [sites, 3]. */
export function countsIn(counts: Int32Array): SiteCounts[] {
  return Array.from({ length: counts.length / 3 }, (_, site) => {
    const [train = 0, val = 0, test = 0] = counts.subarray(3 * site, 3 * site + 3);
    return { train, val, test };
  });
}

/** Mean and deviation of each column in the numbers of `sums`, [columns, 3]: count, sum, sum of squares. */
export function momentsIn(sums: Float64Array): Moments[] {
  return Array.from({ length: sums.length / 3 }, (_, column) => {
    const [count = 0, sum = 0, squares = 0] = sums.subarray(3 * column, 3 * column + 3);
    return meanAndSd(count, sum, squares);
  });
}

/** Reads a `pooled` message whose shapes the session has checked. Throws ProtocolError when its counts cannot be, or are not this site's own. */
export function readPooled(plan: Plan, message: Message, site: number, own: SiteCounts): PooledFacts {
  const [counts, classes, sums] = message.tensors.map(({ tensor }) => tensor.data) as [
    Int32Array,
    Int32Array,
    Float64Array,
  ];
  const bad = (what: string) => new ProtocolError('bad-field', `pooled: ${what}`);
  const siteCounts = countsIn(counts);
  if (siteCounts.some(({ train }) => train < 1)) throw bad('a site has no training records');
  const told = siteCounts[site];
  if (told?.train !== own.train || told.val !== own.val || told.test !== own.test)
    throw bad("this site's own counts are not what it reported");
  checkPool(plan, siteCounts);
  checkSums(
    sums,
    siteCounts.reduce((sum, { train }) => sum + train, 0),
    'pooled',
  );
  const [chunksHeld, startStep] = message.scalars as [number, number];
  const chunks = plan.choices.when === 'detached' ? uploadChunks(plan, own) : 0;
  if (!Number.isInteger(chunksHeld) || chunksHeld < 0 || chunksHeld > chunks)
    throw bad(`${chunksHeld} chunks held, of ${chunks}`);
  const schedule = new Schedule(
    plan,
    siteCounts.map(({ train }) => train),
  );
  if (!mayStartAt(plan, schedule, startStep)) throw bad(`the study cannot go on from step ${startStep}`);
  const classCount = classes.length / 3;
  const moments = momentsIn(sums);
  const target = moments.pop() as Moments;
  const classCounts = Array.from(classes.subarray(0, classCount));
  const weights = classWeights(plan.training.classWeights, classCounts);
  return { counts: siteCounts, classCounts, classWeights: weights, inputs: moments, target, chunksHeld, startStep };
}
