// What the server tells all sites before training, read and checked.

import { ProtocolError } from '../base/index.ts';
import { checkPool, checkSums } from './census.ts';
import { classWeights } from './class-weights.ts';
import type { Message } from './message.ts';
import { meanAndSd, type Moments } from './moments.ts';
import { type Plan, quorumOf } from './plan.ts';
import { mayStartAt, scheduleOf, type SiteCounts, type Standing, uploadChunks } from './script.ts';
import { tensor } from '../tensor/index.ts';

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
  readonly standing: Standing;
}

/** What `pooled` says of a site: it is away, takes part, or enters. */
const memberships = ['away', 'present', 'entering'] as const;

/** The tensor and the scalars in which `pooled` says where the study stands. */
export function standingValues({ startStep, epochs, base, present, entering, isOver }: Standing, chunksHeld: number) {
  const members = present.map((takesPart, site) =>
    memberships.indexOf(entering[site] ? 'entering' : takesPart ? 'present' : 'away'),
  );
  return {
    members: tensor('int32', [members.length], Int32Array.from(members)),
    scalars: [chunksHeld, startStep, epochs, base.epoch, base.steps, isOver ? 1 : 0],
  };
}

function standingIn(members: Int32Array, [, startStep, epochs, epoch, steps, isOver]: readonly number[]): Standing {
  const of = (membership: (typeof memberships)[number]) => memberships.indexOf(membership);
  return {
    startStep: startStep as number,
    epochs: epochs as number,
    base: { epoch: epoch as number, steps: steps as number },
    present: Array.from(members, (membership) => membership !== of('away')),
    entering: Array.from(members, (membership) => membership === of('entering')),
    isOver: isOver !== 0,
  };
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
  const [counts, classes, sums, members] = message.tensors.map(({ tensor: value }) => value.data) as [
    Int32Array,
    Int32Array,
    Float64Array,
    Int32Array,
  ];
  const bad = (what: string) => new ProtocolError('bad-field', `pooled: ${what}`);
  const siteCounts = countsIn(counts);
  const standing = standingIn(members, message.scalars);
  const { present, entering, startStep, epochs, base, isOver } = standing;
  if (siteCounts.some(({ train }, index) => train < 1 && present[index])) throw bad('a site has no training records');
  const told = siteCounts[site];
  if (told?.train !== own.train || told.val !== own.val || told.test !== own.test)
    throw bad("this site's own counts are not what it reported");
  if (!present[site]) throw bad('this site is told that it is away');
  checkPool(plan, siteCounts);
  checkSums(
    sums,
    siteCounts.reduce((sum, { train }) => sum + train, 0),
    'pooled',
  );
  const [chunksHeld] = message.scalars as [number];
  if (![0, 1].includes(message.scalars[5] as number))
    throw bad('it says neither that the study is over nor that it is not');
  const chunks = plan.choices.when === 'detached' ? uploadChunks(plan, own) : 0;
  if (!Number.isInteger(chunksHeld) || chunksHeld < 0 || chunksHeld > chunks)
    throw bad(`${chunksHeld} chunks held, of ${chunks}`);
  if (!Number.isInteger(epochs) || epochs < 1 || epochs > plan.training.epochs)
    throw bad(`${epochs} epochs, of the plan's ${plan.training.epochs}`);
  const isCounted = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (!isCounted(base.epoch) || !isCounted(base.steps) || base.epoch > epochs)
    throw bad(`${base.steps} steps before epoch ${base.epoch}`);
  const schedule = scheduleOf(plan, siteCounts, standing);
  if (startStep < base.steps || !mayStartAt(plan, schedule, startStep))
    throw bad(`the study cannot go on from step ${startStep}`);
  const isTrained = schedule.placeOf(startStep).epoch >= epochs;
  if (entering.some(Boolean) && (startStep === 0 || isTrained)) throw bad(`no site can enter at step ${startStep}`);
  if (isOver && ((!isTrained && plan.choices.when !== 'detached') || entering.some(Boolean)))
    throw bad(`the study cannot be over at step ${startStep}`);
  const memberCount = present.filter(Boolean).length;
  if (memberCount < quorumOf(plan) && !isTrained && !isOver)
    throw bad(`${memberCount} sites take part, and the plan asks for ${quorumOf(plan)}`);
  const classCount = classes.length / 3;
  const moments = momentsIn(sums);
  const target = moments.pop() as Moments;
  const classCounts = Array.from(classes.subarray(0, classCount));
  const weights = classWeights(plan.training.classWeights, classCounts);
  return { counts: siteCounts, classCounts, classWeights: weights, inputs: moments, target, chunksHeld, standing };
}
