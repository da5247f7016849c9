// What a site says of its data before training, read and checked, so that no count can make a schedule, a buffer or a sum that the
// server or another site could not hold.

import { DataError, ProtocolError } from '../base/index.ts';
import type { Message } from './message.ts';
import type { Plan } from './plan.ts';
import { Schedule } from './schedule.ts';
import type { SiteCounts } from './script.ts';

/** One site's census. */
export interface Census {
  readonly counts: SiteCounts;
  /** Records by part and class, int32 [3, classes]. */
  readonly classes: Int32Array;
  /** Count, sum and sum of squares of each standardised input column and, last, of the regression target; float64 [columns + 1, 3]. */
  readonly sums: Float64Array;
  /** The newest commits that the site holds, by the server steps before each. */
  readonly commits: readonly number[];
}

/** Server steps of one epoch that a study may have. */
const stepsMax = 2_000_000;
/** Bound of a column's sum of squares: its mean and deviation then fit float32, and many sites' sums float64. */
const squaresMax = 1e70;

/** Reads a `census` whose shapes and ranges the session has checked. Throws ProtocolError when its numbers cannot belong together. */
export function readCensus(message: Message): Census {
  const [counts, classes, sums] = message.tensors.map(({ tensor }) => tensor.data) as [
    Int32Array,
    Int32Array,
    Float64Array,
  ];
  const [train = 0, val = 0, test = 0] = counts;
  const classCount = classes.length / 3;
  [train, val, test].forEach((count, part) => {
    const sum = classes.subarray(part * classCount, (part + 1) * classCount).reduce((total, one) => total + one, 0);
    if (sum !== count)
      throw new ProtocolError('bad-field', `census: ${count} records in part ${part}, but ${sum} of all classes`);
  });
  checkSums(sums, train, 'census');
  const { scalars: commits } = message;
  if (!commits.every((steps) => Number.isSafeInteger(steps) && steps >= 0))
    throw new ProtocolError('bad-field', 'census: a commit is not after a number of steps');
  return { counts: { train, val, test }, classes, sums, commits };
}

/**
 * Throws DataError `too-few-records` when a site has fewer training records than the study asks for. A site asks before it joins,
 * the server of every census.
 */
export function requireRecords(
  { sites, minCount }: Pick<Plan, 'sites' | 'minCount'>,
  site: number,
  train: number,
): void {
  if (train >= minCount) return;
  throw new DataError(
    'too-few-records',
    `site ${sites[site] ?? ''} has ${train} training records, but the study asks for at least ${minCount} (data.minCount)`,
  );
}

/** Throws ProtocolError unless each column's count, sum and sum of squares can be those of at most `records` values. */
export function checkSums(sums: Float64Array, records: number, kind: string): void {
  for (let column = 0; 3 * column < sums.length; column++) {
    const [count = 0, sum = 0, squares = 0] = sums.subarray(3 * column, 3 * column + 3);
    // Cauchy and Schwarz: (Σx)² ≤ n·Σx². Summing in float64 leaves an error far below a millionth.
    const possible = squares >= 0 && squares <= squaresMax && sum ** 2 <= count * squares * (1 + 1e-6);
    if (!Number.isInteger(count) || count < 0 || count > records || !possible)
      throw new ProtocolError(
        'bad-field',
        `${kind}: the sums of column ${column} cannot be those of ${records} records`,
      );
  }
}

/** Throws ProtocolError when the sites' records together are more than a study may have. */
export function checkPool(plan: Plan, counts: readonly SiteCounts[]): void {
  for (const part of ['train', 'val', 'test'] as const) {
    const total = counts.reduce((sum, count) => sum + count[part], 0);
    if (total > 0x7fffffff)
      throw new ProtocolError(
        'bad-field',
        `${total} records in the ${part} part of all sites, which int32 cannot count`,
      );
  }
  const trainCounts = counts.map(({ train }) => train);
  const present = trainCounts.map((count) => count > 0);
  const steps = new Schedule(plan, trainCounts, { present }).serverSteps * (plan.training.augmentPasses + 1);
  if (steps > stepsMax)
    throw new ProtocolError(
      'bad-field',
      `the training records make ${steps} steps an epoch, at most ${stepsMax} are allowed: use a larger batch`,
    );
}

/**
 * Throws ProtocolError unless the groups that come with `activations`, if any do, are numbers that a site gives to the groups of a part
 * with `records` records: from 0 on, so below the records. The server adds sites' numbers up to keep their groups apart.
 */
export function checkGroups({ kind, tensors }: Message, records: number): void {
  const groups = tensors.find(({ name }) => name === 'groups')?.tensor.data as Int32Array | undefined;
  if (groups?.some((group) => group >= records))
    throw new ProtocolError(
      'bad-field',
      `${kind}: tensor groups has a number that is none of the groups of ${records} records`,
    );
}

/** Throws ProtocolError unless the optimizer's step counts that come with `weights` are counts. */
export function checkUpdates(message: Message): void {
  if (!message.scalars.every((updates) => Number.isSafeInteger(updates) && updates >= 0))
    throw new ProtocolError('bad-field', `${message.kind}: an optimizer's step count is not a count`);
}
