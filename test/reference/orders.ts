// One epoch of each order, straight from SEMANTICS.md, "Steps, epochs, rounds".

import { randomStream } from '../../src/base/index.ts';
import type { Attendance } from './attendance.ts';
import { averageParties, sumOf } from './averages.ts';
import { ownBatches, type SiteBatch, unionSteps } from './batches.ts';
import { type OpenStudy, type Party, serverStep, type SiteGradients, type StepLoss, updateSite } from './study.ts';

/** A study in the middle of training. */
export interface Course {
  readonly open: OpenStudy;
  /** One trunk, or with `averaged` one replica a site. */
  readonly trunks: readonly Party[];
  readonly sites: readonly Party[];
  readonly attendance: Attendance;
  /** Steps in the order of the schedule; of replicas, one replica's after the other's. */
  readonly losses: StepLoss[];
}

/** `order: union`. */
export async function unionEpoch({ open, trunks, sites, attendance, losses }: Course, epoch: number): Promise<void> {
  const { plan } = open;
  const { segments } = plan.choices;
  const steps = unionSteps(plan, epoch, attendance.counts(epoch));
  for (const [t, whole] of steps.entries()) {
    const batches = whole.filter(({ site }) => attendance.isThere(site, epoch, t));
    const { roundSteps } = plan.training;
    const roundEnds = t === steps.length - 1 || (roundSteps !== undefined && (t + 1) % roundSteps === 0);
    const endRound = () => {
      if (segments === 'average' && roundEnds) averageParties(sites, attendance.weights(epoch, t));
    };
    if (batches.length === 0) {
      endRound();
      continue;
    }
    const rate = { step: attendance.stepsBefore(epoch) + t, totalSteps: attendance.totalSteps(epoch) };
    const { loss, gradients } = await serverStep(open, trunks[0] as Party, sites, batches, rate);
    losses.push(loss);
    if (segments === 'mirrored') {
      const sum = sumOf(gradients.map((own) => own.gradients));
      for (const site of sites) await updateSite(open, site, sum, rate, 1);
    } else {
      const records = batches.reduce((sum, { rows }) => sum + rows.length, 0);
      for (const { batch, gradients: own } of gradients)
        await updateSite(open, sites[batch.site] as Party, own, rate, records / batch.rows.length);
    }
    endRound();
  }
}

/** `order: turns`. With `relay` all sites have the last one's segment in the end. */
export async function turnsEpoch({ open, trunks, sites, attendance, losses }: Course, epoch: number): Promise<void> {
  const { plan } = open;
  const { turnSteps = Number.POSITIVE_INFINITY, turnOrder } = plan.training;
  const weights = attendance.weights(epoch);
  const waiting = weights.map((count, site) => ownBatches(plan, site, epoch, count));
  let step = attendance.stepsBefore(epoch);
  for (let round = 0; waiting.some((own) => own.length > 0); round++) {
    const order =
      turnOrder === 'shuffled'
        ? randomStream(plan.seed, 'turn-order', [epoch, round]).permutation(sites.length)
        : sites.keys();
    for (const site of order) {
      const turn = waiting[site]?.splice(0, turnSteps) ?? [];
      const party = sites[site] as Party;
      for (const next of turn)
        losses.push(await ownStep(open, trunks[0] as Party, party, next, step++, attendance.totalSteps(epoch)));
      if (plan.choices.segments === 'relay' && turn.length > 0) for (const other of sites) Object.assign(other, party);
    }
    if (plan.choices.segments === 'average') averageParties(sites, weights);
  }
}

/** `order: arrival`, in the order of the sites in `log`. Rates follow each part's own steps. */
export async function arrivalEpoch(course: Course, epoch: number, log: readonly number[]): Promise<void> {
  const { open, trunks, sites, attendance, losses } = course;
  const { plan } = open;
  const { batch, epochs } = plan.training;
  const weights = attendance.weights(epoch);
  const own = weights.map((count) => Math.ceil(count / batch));
  const waiting = weights.map((count, site) => ownBatches(plan, site, epoch, count));
  for (const [done, site] of log.entries()) {
    const next = waiting[site]?.shift() as SiteBatch;
    const rate = { step: attendance.stepsBefore(epoch) + done, totalSteps: attendance.totalSteps(epoch) };
    const { loss, gradients } = await serverStep(open, trunks[0] as Party, sites, [next], rate);
    losses.push(loss);
    const ofSite = { step: epoch * (own[site] as number) + next.index, totalSteps: (own[site] as number) * epochs };
    const [{ gradients: its }] = gradients as [SiteGradients];
    await updateSite(open, sites[site] as Party, its, ofSite, 1);
  }
  if (plan.choices.segments === 'average') averageParties(sites, weights);
}

/** `trunk: averaged`: every site with its own replica, side by side; averages at the end of each round. */
export async function averagedEpoch({ open, trunks, sites, attendance, losses }: Course, epoch: number): Promise<void> {
  const { plan } = open;
  const { batch, epochs, roundSteps = Number.POSITIVE_INFINITY } = plan.training;
  const weights = attendance.weights(epoch);
  const waiting = weights.map((count, site) => ownBatches(plan, site, epoch, count));
  while (waiting.some((own) => own.length > 0)) {
    for (const [site, own] of waiting.entries()) {
      const perEpoch = Math.ceil((weights[site] as number) / batch);
      for (const next of own.splice(0, roundSteps)) {
        const step = epoch * perEpoch + next.index;
        losses.push(await ownStep(open, trunks[site] as Party, sites[site] as Party, next, step, perEpoch * epochs));
      }
    }
    averageParties(trunks, weights);
    if (plan.choices.segments === 'average') averageParties(sites, weights);
  }
}

/** A step on one site's batch, and the site's update at the same rate. */
async function ownStep(
  open: OpenStudy,
  trunk: Party,
  site: Party,
  batch: SiteBatch,
  step: number,
  totalSteps: number,
): Promise<StepLoss> {
  const parties: Party[] = [];
  parties[batch.site] = site;
  const rate = { step, totalSteps };
  const { loss, gradients } = await serverStep(open, trunk, parties, [batch], rate);
  for (const own of gradients) await updateSite(open, site, own.gradients, rate, 1);
  return loss;
}
