// Who takes part when, from the log of a study with a quorum: the last word on a step counts, and what was made after it is made again.

import type { Plan } from '../../src/protocol/index.ts';

/** From this server step on these sites take part. */
export interface MembersEntry {
  readonly step: number;
  readonly epoch: number;
  /** Whether standardisation and class weights are made of these sites' records. */
  readonly pooled: boolean;
  readonly sites: readonly string[];
}

/** What of an epoch is trained with the same sites on the server's pool (`detached`). */
export interface PoolStretch {
  readonly present: readonly boolean[];
  /** Server steps before the epoch, as these sites make them, and before the study's end. */
  readonly stepsBefore: number;
  readonly totalSteps: number;
  /** Steps that are made of the epoch's, from its first on. */
  readonly steps: number;
}

/** A stretch of the study: who takes part, whose records count, and where its epochs are counted from. */
interface Stretch {
  readonly step: number;
  readonly present: readonly boolean[];
  readonly counts: readonly number[];
  readonly base: { readonly epoch: number; readonly steps: number };
}

export class Attendance {
  readonly #plan: Plan;
  readonly #stretches: Stretch[] = [];
  /** The sites whose records were pooled when the study began. */
  readonly founders: readonly number[];

  /** `counts`: training records of each site. Without a log all sites take part. */
  constructor(plan: Plan, counts: readonly number[], log: readonly MembersEntry[] = []) {
    this.#plan = plan;
    const all = { step: 0, epoch: 0, pooled: true, sites: plan.sites };
    for (const { step, epoch, sites } of log.length > 0 ? log : [all]) {
      while ((this.#stretches.at(-1)?.step ?? -1) >= step) this.#stretches.pop();
      const present = plan.sites.map((site) => sites.includes(site));
      const before = this.#stretches.at(-1);
      // In `detached` those that are away are not in the pool, and make no steps.
      const stays = (site: number) => plan.choices.when !== 'detached' && before && !present[site];
      const counted = counts.map((count, site) => (stays(site) ? before!.counts[site]! : present[site] ? count : 0));
      const isNew = before === undefined || counted.some((count, site) => count !== before.counts[site]);
      const base = isNew ? { epoch, steps: step } : before.base;
      this.#stretches.push({ step, present, counts: counted, base });
    }
    const founders = (log.findLast(({ pooled }) => pooled) ?? all).sites;
    this.founders = [...plan.sites.keys()].filter((site) => founders.includes(plan.sites[site]!));
  }

  /** `detached`: who is in the pool of an epoch; where that changed within it, it was begun anew from there. */
  poolStretches(epoch: number): readonly PoolStretch[] {
    const changes = this.#stretches.filter(({ step, base }) => step === base.steps);
    return changes.flatMap(({ present, base, counts }, index) => {
      const perEpoch = this.#stepsOf(counts);
      const stepsBefore = base.steps + (epoch - base.epoch) * perEpoch;
      const end = changes[index + 1]?.step ?? Number.POSITIVE_INFINITY;
      if (epoch < base.epoch || stepsBefore >= end) return [];
      const totalSteps = stepsBefore + (this.#plan.training.epochs - epoch) * perEpoch;
      return [{ present, stepsBefore, totalSteps, steps: Math.min(perEpoch, end - stepsBefore) }];
    });
  }

  /** Training records of each site by which the epoch's steps are made; 0 for one that has never been there. */
  counts(epoch: number): readonly number[] {
    return this.#of(epoch).counts;
  }

  /** Whether the site takes part in a step of the epoch. */
  isThere(site: number, epoch: number, step = 0): boolean {
    const at = this.stepsBefore(epoch) + step;
    return this.#stretches.findLast((stretch) => stretch.step <= at)?.present[site] === true;
  }

  /** The training records of those that take part in the epoch, 0 for the others. */
  weights(epoch: number, step = 0): readonly number[] {
    return this.counts(epoch).map((count, site) => (this.isThere(site, epoch, step) ? count : 0));
  }

  /** Server steps before an epoch. */
  stepsBefore(epoch: number): number {
    const { base } = this.#of(epoch);
    return base.steps + (epoch - base.epoch) * this.perEpoch(epoch);
  }

  /** Server steps that the learning rate is laid out over. */
  totalSteps(epoch: number): number {
    return this.stepsBefore(epoch) + (this.#plan.training.epochs - epoch) * this.perEpoch(epoch);
  }

  perEpoch(epoch: number): number {
    return this.#stepsOf(this.#of(epoch).counts);
  }

  #stepsOf(counts: readonly number[]): number {
    const { choices, training } = this.#plan;
    const steps = (records: number) => Math.ceil(records / training.batch);
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (choices.when === 'detached') return steps(total * (training.augmentPasses + 1));
    if (choices.order === 'union') return steps(total);
    return counts.reduce((sum, count) => sum + steps(count), 0);
  }

  #of(epoch: number): Stretch {
    return this.#stretches.findLast(({ base }) => base.epoch <= epoch) as Stretch;
  }
}
