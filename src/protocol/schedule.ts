// Which records make which batch, in what order: pure functions of the plan's settings and the sites' training counts, so that server
// and sites compute the same schedule and nobody has to send it (SEMANTICS.md, "Steps, epochs, rounds").

import { assert, randomStream } from '../base/index.ts';
import type { Plan } from './plan.ts';

/** One batch of one site. */
export interface Batch {
  /** The server step of the epoch with `union`; elsewhere the site's own step of the epoch. */
  readonly step: number;
  /** How many batches this site had earlier in the epoch: what its random values are keyed by. */
  readonly index: number;
  /** The batch is records `from` to `from + count - 1` of the site's order for the epoch. */
  readonly from: number;
  readonly count: number;
}

/** A turn of one site: its own steps `fromStep` to `toStep - 1` of the epoch. */
export interface Turn {
  readonly round: number;
  readonly site: number;
  readonly fromStep: number;
  readonly toStep: number;
  /** Server steps of the epoch before this turn. */
  readonly serverStep: number;
}

/** ceil(records / batch): the steps that `records` make. */
export function stepCount(records: number, batch: number): number {
  return Math.ceil(records / batch);
}

/** How many of `records` the step takes when they are spread evenly over `steps`: floor((t+1)n/S) - floor(tn/S). */
export function shareOfStep(records: number, steps: number, step: number): number {
  return Math.floor(((step + 1) * records) / steps) - Math.floor((step * records) / steps);
}

/** The order of a site's records in an epoch: a permutation drawn from (study seed, site, epoch). */
export function epochOrder(seed: number, site: number, epoch: number, records: number): Int32Array {
  return randomStream(seed, 'epoch-order', [site, epoch]).permutation(records);
}

/** What the schedule of one study needs of its plan. */
export type SchedulePlan = Pick<Plan, 'seed' | 'choices'> & {
  readonly training: Pick<Plan['training'], 'batch' | 'epochs' | 'sampling' | 'turnOrder' | 'turnSteps' | 'roundSteps'>;
};

/** An epoch, and the server steps before it. */
export interface EpochStart {
  readonly epoch: number;
  readonly steps: number;
}

/** Who takes part in a stretch of a study, and where its epochs begin to be counted as the counts make them. */
export interface Attendance {
  /** By site: whether it takes part. Left out: all do. */
  readonly present?: readonly boolean[] | undefined;
  /** From here on the epochs have as many steps as `counts` make; left out: from the study's start. */
  readonly base?: EpochStart | undefined;
}

/**
 * The schedule of a study whose sites have `counts` training records each. The steps of an epoch follow from all of them, 0 for a site
 * whose records are not known; one that does not take part just has no batches in them.
 */
export class Schedule {
  readonly #plan: SchedulePlan;
  readonly counts: readonly number[];
  /** Training records of all sites. */
  readonly total: number;
  /** The sites that take part. */
  readonly members: readonly number[];
  readonly #present: readonly boolean[];
  readonly #base: EpochStart;
  /** The batches last asked for, by site: an epoch's are asked for at every step. */
  readonly #known = new Map<number, { epoch: number; batches: readonly Batch[] }>();
  #globalSizes: { epoch: number; sizes: Int32Array[] } | undefined;

  constructor(plan: SchedulePlan, counts: readonly number[], { present, base }: Attendance = {}) {
    this.#present = counts.map((_, site) => present?.[site] ?? true);
    assert(
      counts.every((count, site) => count > 0 || !this.#present[site]),
      'every site that takes part has training records',
    );
    this.#plan = plan;
    this.#base = base ?? { epoch: 0, steps: 0 };
    this.counts = counts;
    this.total = counts.reduce((sum, count) => sum + count, 0);
    this.members = [...counts.keys()].filter((site) => this.#present[site]);
  }

  /** Whether every site takes part. */
  get isFull(): boolean {
    return this.members.length === this.counts.length;
  }

  /** Training records of each site that takes part, in site order. */
  get memberCounts(): readonly number[] {
    return this.members.map((site) => this.counts[site] as number);
  }

  /** Server steps before an epoch. Of those that only absent sites would have made none was made, but all are counted. */
  stepsBefore(epoch: number): number {
    return this.#base.steps + (epoch - this.#base.epoch) * this.serverSteps;
  }

  /** The epoch that a server step belongs to, and which of its steps it is. */
  placeOf(step: number): { readonly epoch: number; readonly firstStep: number } {
    const { epoch, steps } = this.#base;
    const later = Math.floor((step - steps) / this.serverSteps);
    return { epoch: epoch + later, firstStep: step - steps - later * this.serverSteps };
  }

  /** Server steps of an epoch, over all sites (with `averaged`, of all replicas together; with `detached`, of the pool). */
  get serverSteps(): number {
    const { choices, training } = this.#plan;
    if (choices.order === 'union') return stepCount(this.total, training.batch);
    return this.counts.reduce((sum, count) => sum + stepCount(count, training.batch), 0);
  }

  /** Batches of one site in an epoch, in order. Steps that the site sits out are not among them. */
  batches(site: number, epoch: number): readonly Batch[] {
    const known = this.#known.get(site);
    if (known?.epoch === epoch) return known.batches;
    const sizes = this.#sizes(site, epoch);
    const batches: Batch[] = [];
    let from = 0;
    sizes.forEach((count, step) => {
      if (count > 0) batches.push({ step, index: batches.length, from, count });
      from += count;
    });
    this.#known.set(site, { epoch, batches });
    return batches;
  }

  /** Server steps of an epoch that the sites which take part make, where a step is one site's. */
  get madeSteps(): number {
    return this.memberCounts.reduce((sum, count) => sum + stepCount(count, this.#plan.training.batch), 0);
  }

  /** With `union`: how many records each site gives to a server step of the epoch. */
  sharesOfStep(epoch: number, step: number): readonly number[] {
    if (this.#plan.training.sampling === 'global') return this.#globally(epoch).map((sizes) => sizes[step] ?? 0);
    return this.counts.map((count, site) => (this.#present[site] ? shareOfStep(count, this.serverSteps, step) : 0));
  }

  /** With `union`: whether the step has records. One that only absent sites would give to has none, and is not made. */
  hasRecords(epoch: number, step: number): boolean {
    return this.isFull || this.sharesOfStep(epoch, step).some((share) => share > 0);
  }

  /** With `union`: records that the sites before this one give to a server step. */
  firstOfStep(epoch: number, step: number, site: number): number {
    return this.sharesOfStep(epoch, step)
      .slice(0, site)
      .reduce((sum, share) => sum + share, 0);
  }

  /** With `turns`: the turns of an epoch in order. */
  turns(epoch: number): readonly Turn[] {
    const { seed, training } = this.#plan;
    const steps = this.counts.map((count, site) => (this.#present[site] ? stepCount(count, training.batch) : 0));
    const length = training.turnSteps ?? Number.POSITIVE_INFINITY;
    const turns: Turn[] = [];
    let serverStep = 0;
    for (let round = 0, done = 0; done < Math.max(...steps); round++, done += length) {
      const order =
        training.turnOrder === 'shuffled'
          ? randomStream(seed, 'turn-order', [epoch, round]).permutation(this.counts.length)
          : this.counts.map((_, site) => site);
      for (const site of order) {
        const own = steps[site] ?? 0;
        if (done >= own) continue;
        const toStep = Math.min(own, done + length);
        turns.push({ round, site, fromStep: done, toStep, serverStep });
        serverStep += toStep - done;
      }
    }
    return turns;
  }

  /** With `union`: the rounds of an epoch, each its server steps `fromStep` to `toStep - 1`. */
  get rounds(): readonly { readonly fromStep: number; readonly toStep: number }[] {
    const steps = this.serverSteps;
    const length = Math.min(this.#plan.training.roundSteps ?? steps, steps);
    return Array.from({ length: Math.ceil(steps / length) }, (_, round) => ({
      fromStep: round * length,
      toStep: Math.min(steps, (round + 1) * length),
    }));
  }

  /** With `none` and `averaged`: rounds of an epoch; a replica that is through takes no step in the later ones. */
  get averagedRounds(): number {
    const { batch, roundSteps } = this.#plan.training;
    const longest = stepCount(Math.max(...this.memberCounts), batch);
    return roundSteps === undefined ? 1 : Math.ceil(longest / roundSteps);
  }

  /** Steps that the learning-rate schedule of a part is laid out over: server steps, or with `averaged` and `arrival` the part's own. */
  scheduledSteps(site: number | 'server'): number {
    const { choices, training } = this.#plan;
    const own = choices.order === 'arrival' || choices.trunk === 'averaged';
    if (own && site !== 'server') return stepCount(this.counts[site] ?? 1, training.batch) * training.epochs;
    return this.stepsBefore(training.epochs);
  }

  #sizes(site: number, epoch: number): Int32Array {
    const { choices, training } = this.#plan;
    const records = this.#present[site] ? (this.counts[site] ?? 0) : 0;
    if (choices.order === 'union' && training.sampling === 'global')
      return this.#globally(epoch)[site] ?? new Int32Array();
    const steps = choices.order === 'union' ? this.serverSteps : stepCount(records, training.batch);
    return Int32Array.from({ length: steps }, (_, step) => shareOfStep(records, steps, step));
  }

  // GPSL (arXiv 2407.15738): the site labels of all records are shuffled; a step takes the next `batch` of them.
  #globally(epoch: number): Int32Array[] {
    if (this.#globalSizes?.epoch === epoch) return this.#globalSizes.sizes;
    const { seed, training } = this.#plan;
    const ends = this.counts.map((_, site) => this.counts.slice(0, site + 1).reduce((sum, count) => sum + count, 0));
    const siteOf = new Int32Array(this.total);
    ends.forEach((end, site) => siteOf.fill(site, site === 0 ? 0 : ends[site - 1], end));
    const order = randomStream(seed, 'global-sampling', [epoch]).permutation(this.total);
    const sizes = this.counts.map(() => new Int32Array(stepCount(this.total, training.batch)));
    order.forEach((record, place) => {
      const step = Math.floor(place / training.batch);
      const row = sizes[siteOf[record] ?? 0];
      if (row) row[step] = (row[step] ?? 0) + 1;
    });
    for (const [site, row] of sizes.entries()) if (!this.#present[site]) row.fill(0);
    this.#globalSizes = { epoch, sizes };
    return sizes;
  }
}
