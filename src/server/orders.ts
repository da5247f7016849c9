// The orders in which sites' batches make server steps: one epoch of each (SEMANTICS.md, "Steps, epochs, rounds").

import { type Batch, commitsWithin, stepsSumsLag, windowed, windowOf } from '../protocol/index.ts';
import { BatchQueue } from './batch-queue.ts';
import type { Training } from './training.ts';

/** Scope of a site's trunk replica. */
export function replicaScope(site: number): string {
  return `replica${site}/`;
}

/** Trains one epoch in the study's order. `firstStep`: with `union` the epoch's steps before it are done. */
export async function trainEpoch(training: Training, epoch: number, firstStep: number): Promise<void> {
  const { order } = training.options.plan.choices;
  switch (order) {
    case 'union':
      return unionEpoch(training, epoch, firstStep);
    case 'turns':
      return turnsEpoch(training, epoch);
    case 'arrival':
      return arrivalEpoch(training, epoch);
    case 'none':
      return averagedEpoch(training, epoch);
  }
}

/** One step on all sites' batches together. */
async function unionEpoch(training: Training, epoch: number, firstStep: number): Promise<void> {
  const { plan, schedule, links, commitIsDue, commit } = training.options;
  const { members } = schedule;
  const batches = links.map((_, site) => new Map(schedule.batches(site, epoch).map((batch) => [batch.step, batch])));
  const totalSteps = schedule.scheduledSteps('server');
  const { segments } = plan.choices;
  const window = windowOf(plan);
  const lag = segments === 'mirrored' ? stepsSumsLag(window) : 0;
  for (const { fromStep, toStep } of schedule.rounds) {
    if (toStep <= firstStep) continue;
    let commits = false;
    for (const { kind, step } of windowed(Math.max(fromStep, firstStep), toStep, window, lag)) {
      const sites = members.filter((site) => batches[site]?.has(step));
      if (sites.length === 0) {
        if (kind === 'backward') training.passTo(schedule.stepsBefore(epoch) + step + 1);
        continue;
      }
      const own = sites.map((site) => ({ site, batch: batches[site]?.get(step) as Batch }));
      // A site that sits the step out would not hear of a commit after it; at a round's end averages are to come.
      if (kind === 'backward')
        commits = commitsWithin(plan) && sites.length === members.length && step + 1 < toStep && commitIsDue();
      const place = { epoch, step: schedule.stepsBefore(epoch) + step, totalSteps, commits };
      if (kind === 'backward') await training.step('', own, place);
      if (kind === 'update' && segments === 'mirrored') await training.mirrorStep(sites, place);
      if (kind === 'update' && commits) await commit();
    }
    if (segments === 'average') await training.averageSegments();
  }
}

/** One site at a time, for a turn. */
async function turnsEpoch(training: Training, epoch: number): Promise<void> {
  const { plan, schedule } = training.options;
  const turns = schedule.turns(epoch);
  const totalSteps = schedule.scheduledSteps('server');
  for (const [index, turn] of turns.entries()) {
    const link = training.link(turn.site);
    await link.send('turn');
    if (plan.choices.segments === 'relay' && index > 0) await training.sendSegment(turn.site);
    const batches = schedule.batches(turn.site, epoch).slice(turn.fromStep, turn.toStep);
    for (const [offset, batch] of batches.entries()) {
      const step = schedule.stepsBefore(epoch) + turn.serverStep + offset;
      await training.step('', [{ site: turn.site, batch }], { epoch, step, totalSteps });
    }
    if (plan.choices.segments === 'relay') {
      const { state, updates } = await training.receiveSegment(turn.site);
      training.passed = state;
      training.passedUpdates = updates;
    }
    const roundEnds = turns[index + 1]?.round !== turn.round;
    if (plan.choices.segments === 'average' && roundEnds) await training.averageSegments();
  }
  if (plan.choices.segments === 'relay') await training.sendSegmentToAll();
}

/**
 * One site's batch at a time, the next of those that are there by the study's discipline. The order is written to a log before it is used,
 * and the log alone determines every bit.
 */
async function arrivalEpoch(training: Training, epoch: number): Promise<void> {
  const { plan, schedule, logOrder } = training.options;
  const buffered = plan.choices.when === 'buffered';
  const queue = new BatchQueue(training, epoch, buffered);
  const totalSteps = schedule.scheduledSteps('server');
  for (let done = 0; done < schedule.madeSteps; done++) {
    const { site, batch, waitedSteps } = await queue.next();
    const step = schedule.stepsBefore(epoch) + done;
    await logOrder({ epoch, site, step });
    const staleness = { waitedSteps, updatesBehind: Math.min(batch.index, windowOf(plan) - 1) };
    const deliver = (delivered: Promise<void>) => queue.deliver(delivered);
    const place = { epoch, step, totalSteps };
    await training.step('', [{ site, batch }], place, buffered ? { staleness, deliver } : undefined);
  }
  await queue.delivered();
  if (plan.choices.segments === 'average') await training.averageSegments();
}

/** Each site with its own replica of the trunk, side by side; averages at the end of each round. */
async function averagedEpoch(training: Training, epoch: number): Promise<void> {
  const { plan, schedule, links } = training.options;
  const scopes = links.map((_, site) => replicaScope(site));
  for (let round = 0; round < schedule.averagedRounds; round++) {
    await training.sideBySide(
      schedule.members.map(async (site) => {
        const all = schedule.batches(site, epoch);
        const length = plan.training.roundSteps ?? all.length;
        const totalSteps = schedule.scheduledSteps(site);
        for (const batch of all.slice(round * length, (round + 1) * length)) {
          const step = epoch * all.length + batch.index;
          await training.step(replicaScope(site), [{ site, batch }], {
            epoch,
            step,
            totalSteps,
          });
        }
      }),
    );
    await training.averageTrunks(scopes);
    if (plan.choices.segments === 'average') await training.averageSegments();
  }
}
