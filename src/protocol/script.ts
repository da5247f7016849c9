// The script of one site in a study: every message that passes between it and the server, in order, with the exact type and shape of
// every tensor. It is a pure function of the plan and of the sites' record counts. The site follows it; the server holds each site's
// messages against it; so whatever is not the next line of the script is refused (docs/PROTOCOL.md).

import { elementCount } from '../tensor/index.ts';
import { acknowledged } from './acknowledged.ts';
import type { Choices } from './choices.ts';
import { type Exchange, Lines, partsAtSite } from './lines.ts';
import { type PartLayout, type Plan, windowOf } from './plan.ts';
import { piecesOf } from './pieces.ts';
import { type Attendance, type Batch, type EpochStart, Schedule, type SchedulePlan } from './schedule.ts';
import { type Script, Unfolded } from './unfolded.ts';
import { stepsSumsLag, windowed } from './window.ts';

export const partNames = ['train', 'val', 'test'] as const;
export type PartName = (typeof partNames)[number];

/** What the census says of one site, as the server tells it to all (`pooled`). */
export interface SiteCounts {
  readonly train: number;
  readonly val: number;
  readonly test: number;
}

/** What a script follows from, beside the plan. */
export interface ScriptFacts {
  /** Known after `pooled`. */
  counts: readonly SiteCounts[];
  /** `detached`: chunks of this site that the server holds already and that are not sent again. */
  chunksHeld: number;
  standing: Standing;
}

/** Where a study goes on, and with whom: fixed until it goes back, or a site leaves or enters. */
export interface Standing {
  /** Server steps before the commit that the study goes on from; 0 at its start, and always in `detached`. */
  readonly startStep: number;
  /** The epochs after which it ends: the plan's, or fewer where the study was stopped. */
  readonly epochs: number;
  readonly base: EpochStart;
  /** By site: whether it takes part. */
  readonly present: readonly boolean[];
  /** By site: whether it enters here, where it was not when the commit was made: then it has no half of it. */
  readonly entering: readonly boolean[];
  /** The study is over, and its results are kept: a site that was not told so fetches what it is to have at the end. */
  readonly isOver: boolean;
}

/** A study of all sites from its start to its planned end. */
export function wholeStanding({ sites, training }: Pick<Plan, 'sites' | 'training'>): Standing {
  const each = (value: boolean) => sites.map(() => value);
  return {
    startStep: 0,
    epochs: training.epochs,
    base: { epoch: 0, steps: 0 },
    present: each(true),
    entering: each(false),
    isOver: false,
  };
}

/** The facts before `pooled`. */
export function unknownFacts(plan: Pick<Plan, 'sites' | 'training'>): ScriptFacts {
  return { counts: [], chunksHeld: 0, standing: wholeStanding(plan) };
}

/** The schedule of a study that stands so. */
export function scheduleOf(plan: SchedulePlan, counts: readonly SiteCounts[], standing: Attendance): Schedule {
  return new Schedule(
    plan,
    counts.map(({ train }) => train),
    standing,
  );
}

/**
 * Whether commits may be written within an epoch: where the plan alone says who has done what after each step. A step's last answer then
 * says whether the sites are to write theirs.
 */
export function commitsWithin(plan: Pick<Plan, 'choices' | 'training'>): boolean {
  return plan.choices.order === 'union' && windowOf(plan) === 1;
}

/** Whether the study may go on from a commit after so many server steps: within an epoch only where the plan alone says who has done what by then. */
export function mayStartAt(plan: Plan, schedule: Schedule, startStep: number): boolean {
  if (!Number.isSafeInteger(startStep) || startStep < 0) return false;
  if (plan.choices.when === 'detached') return startStep === 0;
  if (startStep > schedule.stepsBefore(plan.training.epochs)) return false;
  return schedule.placeOf(startStep).firstStep === 0 || commitsWithin(plan);
}

/** Rows of one message of activations outside training: about 4 MiB, at least 1, at most 4096. */
export function evaluationRows(plan: Pick<Plan, 'network'>): number {
  const bytes = 4 * Math.max(elementCount(plan.network.cutDims), elementCount(plan.network.trunkOutputDims ?? []));
  return Math.max(1, Math.min(4096, Math.floor((4 << 20) / bytes)));
}

/** Messages of activations without a reply before the sender waits for `acknowledge`. */
export const CHUNKS_UNACKNOWLEDGED = 8;

/** Whether a site that enters is given the segment by the server: where there is one for all that learns. With `private` it goes on with its own. */
export function isGivenSegment({ choices }: Pick<Plan, 'choices'>, { startStep, entering }: Standing, site: number) {
  const isFrozen = choices.when === 'detached';
  return startStep > 0 && entering[site] === true && serverKnowsSegment(choices) && !isFrozen;
}

/** Whether the server can know the sites' segment at the end without being sent it. */
export function serverKnowsSegment(choices: Choices): boolean {
  return choices.segments !== 'private';
}

/** The script of site `index`. It may be asked for the line after `pooled` only once `facts.counts` is set. */
export function siteScript(plan: Plan, index: number, facts: ScriptFacts): Generator<Exchange, void, undefined> {
  const lines = new Lines(plan);
  return acknowledged(lines, new Unfolded(wholeStudy(plan, lines, index, facts)));
}

function* wholeStudy(plan: Plan, lines: Lines, index: number, facts: ScriptFacts): Script {
  yield lines.census();
  yield lines.pooled();
  const own = facts.counts[index];
  if (!own) return;
  const { standing } = facts;
  if (!standing.isOver) yield trainingAndTest(plan, lines, index, own, facts);
  const { epochs } = standing;
  if (plan.trunkToSites) yield lines.weights('down', epochs, 0, [['trunk', plan.layouts.trunk]], false);
  if (!standing.isOver && plan.segmentsToServer && !serverKnowsSegment(plan.choices)) {
    yield lines.weights('up', epochs, 0, segmentsOf(plan), false);
  }
  // The site has its last commit, with which another process of it can come for the end.
  yield lines.line('up', 'acknowledge', { epoch: epochs });
  // The server has kept the study's results.
  yield lines.line('down', 'finish', {});
  // The site has kept its own.
  yield lines.line('up', 'acknowledge', { epoch: epochs });
}

function* trainingAndTest(
  plan: Plan,
  lines: Lines,
  index: number,
  own: SiteCounts,
  { counts, chunksHeld, standing }: ScriptFacts,
): Script {
  if (plan.choices.when === 'detached') {
    yield detachedUpload(plan, lines, own, chunksHeld);
    return;
  }
  const schedule = scheduleOf(plan, counts, standing);
  const { epochs, startStep } = standing;
  const start = schedule.placeOf(startStep);
  if (isGivenSegment(plan, standing, index)) {
    yield lines.weights('down', start.epoch, start.firstStep, segmentsOf(plan), true);
    // The selected one, once an epoch has ended.
    if (start.epoch > 0) yield lines.weights('down', start.epoch - 1, 0, segmentsOf(plan), false);
  }
  for (let epoch = start.epoch; epoch < epochs; epoch++) {
    const firstStep = Math.max(0, startStep - schedule.stepsBefore(epoch));
    yield trainingEpoch(plan, lines, schedule, index, epoch, firstStep);
    if (plan.choices.segments === 'relay') yield lines.weights('down', epoch, -1, segmentsOf(plan), true);
    yield evaluation(plan, lines, epoch, 1, own.val);
    yield lines.line('down', 'verdict', { epoch, scalars: 2 });
  }
  yield evaluation(plan, lines, epochs, 2, own.test);
}

function segmentsOf(plan: Plan): readonly (readonly [string, PartLayout])[] {
  return partsAtSite(plan).map(
    (part) => [part, plan.layouts[part] ?? { groups: [], statistics: [], slots: 0 }] as const,
  );
}

/** `firstStep`: with `union` the epoch's steps before it are done. */
function* trainingEpoch(
  plan: Plan,
  lines: Lines,
  schedule: Schedule,
  site: number,
  epoch: number,
  firstStep: number,
): Script {
  const { order, segments } = plan.choices;
  const batches = schedule.batches(site, epoch);
  const window = windowOf(plan);
  const inFlight: StepPiece[][] = [];
  if (order === 'union') {
    const byStep = new Map(batches.map((batch) => [batch.step, batch]));
    const lag = segments === 'mirrored' ? stepsSumsLag(window) : 0;
    const saysCommit = commitsWithin(plan);
    for (const round of schedule.rounds) {
      if (round.toStep <= firstStep) continue;
      for (const { kind, step } of windowed(Math.max(round.fromStep, firstStep), round.toStep, window, lag)) {
        const batch = byStep.get(step);
        const place = window > 1 ? 2 * step : undefined;
        const sumPlace = window > 1 ? 2 * (step + lag) + 1 : undefined;
        if (batch && kind === 'forward') {
          const pieces = piecesOfStep(plan, epoch, batch, { first: schedule.firstOfStep(epoch, step, site), place });
          inFlight.push(pieces);
          yield forward(lines, pieces);
        }
        if (batch && kind === 'backward') {
          yield backward(plan, lines, inFlight.shift(), saysCommit && segments !== 'mirrored');
          if (segments === 'mirrored')
            yield lines.gradients('up', 'parameter-gradient', epoch, step, segmentsOf(plan), {
              batch,
              place: sumPlace,
            });
        }
        if (segments === 'mirrored' && kind === 'update' && schedule.hasRecords(epoch, step))
          yield lines.gradients('down', 'gradient-sum', epoch, step, segmentsOf(plan), {
            batch,
            place: sumPlace,
            scalars: saysCommit ? 1 : 0,
          });
      }
      if (segments === 'average') yield average(plan, lines, epoch, round.toStep - 1);
    }
  } else if (order === 'turns') {
    const turns = schedule.turns(epoch);
    const rounds = 1 + Math.max(...turns.map((turn) => turn.round));
    for (let round = 0; round < rounds; round++) {
      const turn = turns.find((candidate) => candidate.round === round && candidate.site === site);
      if (turn) {
        yield lines.line('down', 'turn', { epoch, step: turn.fromStep });
        if (segments === 'relay' && turns[0] !== turn)
          yield lines.weights('down', epoch, turn.fromStep, segmentsOf(plan), true);
        for (const batch of batches.slice(turn.fromStep, turn.toStep)) yield trainingStep(plan, lines, epoch, batch);
        if (segments === 'relay') yield lines.weights('up', epoch, turn.toStep, segmentsOf(plan), true);
      }
      if (segments === 'average') yield average(plan, lines, epoch, round);
    }
  } else if (order === 'arrival') {
    for (const { kind, step } of windowed(0, batches.length, window, 0)) {
      if (kind === 'forward') {
        const place = window > 1 ? 2 * step : undefined;
        const pieces = piecesOfStep(plan, epoch, batches[step] as Batch, { place });
        inFlight.push(pieces);
        yield forward(lines, pieces);
      }
      if (kind === 'backward') yield backward(plan, lines, inFlight.shift());
    }
    if (segments === 'average') yield average(plan, lines, epoch, 0);
  } else {
    const length = plan.training.roundSteps ?? batches.length;
    for (let round = 0; round < schedule.averagedRounds; round++) {
      for (const batch of batches.slice(round * length, (round + 1) * length))
        yield trainingStep(plan, lines, epoch, batch);
      if (segments === 'average') yield average(plan, lines, epoch, round);
    }
  }
}

/** What the messages of one piece of a site's batch are about. */
type StepPiece = Pick<Exchange, 'epoch' | 'step' | 'chunk' | 'batch' | 'place'> & {
  readonly records: NonNullable<Exchange['records']>;
};

function* trainingStep(plan: Plan, lines: Lines, epoch: number, batch: Batch): Script {
  const pieces = piecesOfStep(plan, epoch, batch, {});
  yield forward(lines, pieces);
  yield backward(plan, lines, pieces);
}

/** A batch's activations go up. */
function* forward(lines: Lines, pieces: readonly StepPiece[]): Script {
  for (const piece of pieces) yield lines.activations(0, piece.records.count, piece);
}

/** What comes of them comes down: the cut gradient, with the labels at the site by way of the trunk's output. */
function* backward(plan: Plan, lines: Lines, pieces: readonly StepPiece[] = [], saysCommit = false): Script {
  const uShape = plan.choices.labels === 'site';
  for (const piece of pieces) {
    const { epoch, step, chunk, records, batch, place } = piece;
    if (uShape) {
      const tensors = lines.trunkOutput(records.count);
      yield lines.line('down', 'trunk-output', { ...piece, scalars: 1, tensors });
      yield lines.line('up', 'output-gradient', { ...piece, tensors });
    }
    const scalars = (uShape ? 0 : 1) + (saysCommit ? 1 : 0);
    const tensors = lines.cut(records.count);
    yield lines.line('down', 'cut-gradient', { epoch, step, chunk, records, batch, place, scalars, tensors });
  }
}

/** A batch's pieces; with the labels at the site the whole batch goes at once. `first`: records of the server step before the batch's. */
function piecesOfStep(
  plan: Plan,
  epoch: number,
  batch: Batch,
  { first = 0, place }: { readonly first?: number; readonly place?: number | undefined },
): StepPiece[] {
  const whole = plan.choices.labels === 'site';
  const pieces = whole ? [{ from: 0, count: batch.count }] : piecesOf(plan, first, batch.count);
  return pieces.map(({ from, count }, chunk) => {
    const records = { from: batch.from + from, count };
    return { epoch, step: batch.step, chunk, records, batch, place };
  });
}

function* average(plan: Plan, lines: Lines, epoch: number, step: number): Script {
  yield lines.weights('up', epoch, step, segmentsOf(plan), true);
  yield lines.weights('down', epoch, step, segmentsOf(plan), true);
}

function* evaluation(plan: Plan, lines: Lines, epoch: number, part: number, records: number): Script {
  const rows = evaluationRows(plan);
  for (let from = 0, chunk = 0; from < records; from += rows, chunk++) {
    const count = Math.min(rows, records - from);
    const about = { epoch, part, chunk, records: { from, count } };
    yield lines.activations(part, count, about);
    if (plan.choices.labels === 'site')
      yield lines.line('down', 'trunk-output', { ...about, tensors: lines.trunkOutput(count) });
    else if (chunk % CHUNKS_UNACKNOWLEDGED === CHUNKS_UNACKNOWLEDGED - 1)
      yield lines.line('down', 'acknowledge', about);
  }
  if (plan.choices.labels === 'site') yield lines.report(epoch, part);
}

/** `detached`: the chunks that a site uploads in all. */
export function uploadChunks(plan: Plan, own: SiteCounts): number {
  const rows = evaluationRows(plan);
  const chunksOf = (records: number) => Math.ceil(records / rows);
  return (plan.training.augmentPasses + 1) * chunksOf(own.train) + chunksOf(own.val) + chunksOf(own.test);
}

/** The messages of a `detached` upload in order: training part plain, then its augmented passes, then validation and test. */
function* detachedUpload(plan: Plan, lines: Lines, own: SiteCounts, held: number): Script {
  const rows = evaluationRows(plan);
  const passes: (readonly [part: number, pass: number, records: number])[] = [];
  for (let pass = 0; pass <= plan.training.augmentPasses; pass++) passes.push([0, pass, own.train]);
  passes.push([1, 0, own.val], [2, 0, own.test]);
  let chunk = 0;
  for (const [part, pass, records] of passes) {
    for (let from = 0; from < records; from += rows, chunk++) {
      if (chunk < held) continue;
      const count = Math.min(rows, records - from);
      const about = { epoch: pass, part, chunk, records: { from, count } };
      yield { ...lines.activations(part, count, about), digest: true };
      if (chunk % CHUNKS_UNACKNOWLEDGED === CHUNKS_UNACKNOWLEDGED - 1) yield lines.line('down', 'acknowledge', about);
    }
  }
  yield lines.line('down', 'acknowledge', { epoch: plan.training.augmentPasses, part: 2, chunk });
}
