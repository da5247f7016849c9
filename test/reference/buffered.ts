// `when: buffered`, straight from SEMANTICS.md: the forward pass of step t takes the parameters after the update of step
// max(t - W, last step of the previous round or epoch), the backward pass those of its own forward pass, the update the current ones.

import { averageParties, sumOf } from './averages.ts';
import { ownBatches, type SiteBatch, unionSteps } from './batches.ts';
import type { Tensors } from './graphs.ts';
import type { Course } from './orders.ts';
import { type Party, serverStep, type SiteGradients, updateSite } from './study.ts';

/** What one site's parameters were after each step since the window was last empty. */
class Past {
  readonly #window: number;
  readonly #after: Tensors[];

  /** `start`: the parameters as they are before the first step. */
  constructor(window: number, start: Party) {
    this.#window = window;
    this.#after = [parametersOf(start)];
  }

  /** The parameters for the forward pass of the next step. */
  get forNext(): Tensors {
    const steps = this.#after.length - 1;
    return this.#after[Math.max(0, steps + 1 - this.#window)] as Tensors;
  }

  /** A step has passed, with or without an update. */
  passed(site: Party): void {
    this.#after.push(parametersOf(site));
  }
}

/** `order: union`: the steps are the server's, also for a site that sits one out. */
export async function bufferedUnionEpoch(
  { open, trunks, sites, attendance, losses }: Course,
  epoch: number,
): Promise<void> {
  const { plan } = open;
  const { windowSteps = 1, roundSteps = Number.POSITIVE_INFINITY } = plan.training;
  const weights = attendance.weights(epoch);
  const steps = unionSteps(plan, epoch, attendance.counts(epoch));
  let pasts = sites.map((site) => new Past(windowSteps, site));
  for (const [t, whole] of steps.entries()) {
    const batches = whole.filter(({ site }) => attendance.isThere(site, epoch));
    const rate = { step: attendance.stepsBefore(epoch) + t, totalSteps: attendance.totalSteps(epoch) };
    const delayed = pasts.map((past) => past.forNext);
    const { loss, gradients } = await serverStep(open, trunks[0] as Party, sites, batches, rate, delayed);
    losses.push(loss);
    if (plan.choices.segments === 'mirrored') {
      const sum = sumOf(gradients.map((own) => own.gradients));
      for (const site of sites) await updateSite(open, site, sum, rate, 1);
    } else {
      const records = batches.reduce((sum, { rows }) => sum + rows.length, 0);
      for (const { batch, gradients: own } of gradients)
        await updateSite(open, sites[batch.site] as Party, own, rate, records / batch.rows.length);
    }
    for (const [site, past] of pasts.entries()) past.passed(sites[site] as Party);
    if ((t + 1) % roundSteps === 0 || t === steps.length - 1) {
      if (plan.choices.segments === 'average') averageParties(sites, weights);
      pasts = sites.map((site) => new Past(windowSteps, site));
    }
  }
}

/** `order: arrival`, in the order of the sites in `log`: the steps are each site's own. */
export async function bufferedArrivalEpoch(course: Course, epoch: number, log: readonly number[]): Promise<void> {
  const { open, trunks, sites, attendance, losses } = course;
  const { plan } = open;
  const { batch, epochs, windowSteps = 1 } = plan.training;
  const weights = attendance.weights(epoch);
  const own = weights.map((count) => Math.ceil(count / batch));
  const waiting = weights.map((count, site) => ownBatches(plan, site, epoch, count));
  const pasts = sites.map((site) => new Past(windowSteps, site));
  for (const [done, site] of log.entries()) {
    const party = sites[site] as Party;
    const next = waiting[site]?.shift() as SiteBatch;
    const rate = { step: attendance.stepsBefore(epoch) + done, totalSteps: attendance.totalSteps(epoch) };
    const delayed = pasts.map((past) => past.forNext);
    const { loss, gradients } = await serverStep(open, trunks[0] as Party, sites, [next], rate, delayed);
    losses.push(loss);
    const ofSite = { step: epoch * (own[site] as number) + next.index, totalSteps: (own[site] as number) * epochs };
    const [{ gradients: its }] = gradients as [SiteGradients];
    await updateSite(open, party, its, ofSite, 1);
    pasts[site]?.passed(party);
  }
  if (plan.choices.segments === 'average') averageParties(sites, weights);
}

function parametersOf({ state }: Party): Tensors {
  return Object.fromEntries(Object.entries(state).filter(([name]) => /^segment\.w\d+$/.test(name)));
}
