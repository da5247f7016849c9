// What every order of training shares: the study's fixed facts, one server step on the batches of one or more sites, and the exchange
// of segments. Which batches make a step is decided in orders.ts.

import { EngineError } from '../base/index.ts';
import type { Batch, Plan, Schedule, SiteCounts } from '../protocol/index.ts';
import { inChunks, partsAtSite, stateTensors } from '../protocol/index.ts';
import { type CompiledStudy, dropoutMasks, hyperOf, masksOf } from '../split/index.ts';
import { type Tensor, zeros } from '../tensor/index.ts';
import { joinRows, rowsOf, sumInOrder, weightedMean } from './combine.ts';
import type { ServerSiteLink } from './site-link.ts';
import type { TrunkRunner } from './trunk-runner.ts';

/** Scope of the server's own copy of the sites' segment. */
export const COPY = 'copy/';

/** A step as it happened. */
export interface StepReport {
  readonly epoch: number;
  /** Server steps before this one. */
  readonly step: number;
  readonly records: number;
  /** Weighted loss over the step's records; null with the labels at the sites. */
  readonly loss: number | null;
  /** The same for each site that took part. */
  readonly siteLosses: readonly { readonly site: number; readonly loss: number | null }[];
}

/** One site's batch with its activations. */
export interface Contribution {
  readonly site: number;
  readonly batch: Batch;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** Where a step's update stands in the learning-rate schedule. */
export interface StepPlace {
  readonly epoch: number;
  readonly step: number;
  readonly totalSteps: number;
}

export interface TrainingOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly links: readonly ServerSiteLink[];
  readonly trunk: TrunkRunner;
  readonly schedule: Schedule;
  readonly counts: readonly SiteCounts[];
  readonly classWeights: readonly number[];
  /** [mean, sd] of the regression target, float32. */
  readonly target: Tensor;
  readonly onStep: (report: StepReport) => void;
  /** Before a step whose place in the order is not fixed by the plan, the site is written to a log. */
  readonly logOrder: (entry: { readonly epoch: number; readonly site: number; readonly step: number }) => Promise<void>;
}

export class Training {
  readonly options: TrainingOptions;
  /** Updates of the trunk (by scope) and of the segment copy: Adam's t. */
  readonly #updates = new Map<string, number>();
  #steps = 0;
  /** The segment that passes between sites or is averaged, as it stands; with its optimizer state. */
  passed: Readonly<Record<string, Tensor>> | undefined;
  passedUpdates = 0;

  constructor(options: TrainingOptions) {
    this.options = options;
  }

  /** Takes a training batch's activations from a site. */
  async contribution(site: number, batch: Batch): Promise<Contribution> {
    const { message } = await this.link(site).receive('activations');
    return { site, batch, tensors: Object.fromEntries(message.tensors.map(({ name, tensor }) => [name, tensor])) };
  }

  link(site: number): ServerSiteLink {
    return this.options.links[site] as ServerSiteLink;
  }

  /** One atomic server step on these batches, in site order; every site that took part gets its cut gradient. */
  async step(scope: string, contributions: readonly Contribution[], place: StepPlace): Promise<void> {
    const { plan, trunk } = this.options;
    const cut = joinRows(contributions.map(({ tensors }) => tensors['cut'] as Tensor));
    const records = cut.dims[0] ?? 0;
    const masks = dropoutMasks(
      plan.seed,
      masksOf(this.options.study, 'trunk'),
      contributions.map(({ site, batch }) => ({ place: [site, place.epoch, batch.index], rows: batch.count })),
    );
    const hyper = this.#hyper(scope, place);
    if (plan.choices.labels === 'site') {
      await this.#stepWithHeads(scope, contributions, { cut, hyper, ...masks }, place);
      return;
    }
    const labels = joinRows(contributions.map(({ tensors }) => tensors['labels'] as Tensor));
    const weight = this.lossWeights(labels.data as Int32Array | Float32Array, records);
    const { loss, gradient } = await trunk.step(scope, {
      cut,
      labels,
      weight,
      hyper,
      target: this.options.target,
      ...masks,
    });
    const siteLosses = slices(contributions).map(({ site, from, count }) => ({
      site,
      loss: dot(loss, weight, from, count),
    }));
    const total = siteLosses.reduce((sum, entry) => sum + entry.loss, 0);
    if (!Number.isFinite(total)) {
      throw new EngineError(
        'run-failed',
        `epoch ${place.epoch}, server step ${place.step}: the loss is not a finite number: the network has diverged, or a site sends activations beyond any measure; try a lower learning rate`,
      );
    }
    await Promise.all(
      slices(contributions).map(({ site, from, count }, index) =>
        this.link(site).send('cut-gradient', {
          tensors: { cut: rowsOf(gradient as Tensor, from, count) },
          scalars: [siteLosses[index]?.loss ?? 0, total],
        }),
      ),
    );
    this.#tell(place, records, total, siteLosses);
  }

  async #stepWithHeads(
    scope: string,
    contributions: readonly Contribution[],
    feeds: Readonly<Record<string, Tensor>>,
    place: StepPlace,
  ): Promise<void> {
    const { trunk } = this.options;
    const parts = slices(contributions);
    const records = parts.reduce((sum, { count }) => sum + count, 0);
    const output = await trunk.forward(scope, feeds);
    await Promise.all(
      parts.map(({ site, from, count }) =>
        this.link(site).send('trunk-output', { tensors: { output: rowsOf(output, from, count) }, scalars: [records] }),
      ),
    );
    const gradients: Tensor[] = [];
    for (const { site } of parts) {
      const { message } = await this.link(site).receive('output-gradient');
      gradients.push(message.tensors[0]?.tensor as Tensor);
    }
    const gradient = await trunk.backward(scope, { ...feeds, 'output.gradient': joinRows(gradients) });
    await Promise.all(
      parts.map(({ site, from, count }) =>
        this.link(site).send('cut-gradient', { tensors: { cut: rowsOf(gradient, from, count) } }),
      ),
    );
    this.#tell(
      place,
      records,
      null,
      parts.map(({ site }) => ({ site, loss: null })),
    );
  }

  /** `mirrored`: adds the parameter gradients of the sites that took part, in site order; all sites and the server's copy apply the sum. */
  async mirrorStep(sites: readonly number[], place: StepPlace): Promise<void> {
    const { plan, links, trunk } = this.options;
    const gradients: Record<string, Tensor>[] = [];
    for (const site of sites) {
      const { message } = await this.link(site).receive('parameter-gradient');
      gradients.push(Object.fromEntries(message.tensors.map(({ name, tensor }) => [name, tensor])));
    }
    const sum = sumInOrder(gradients);
    const sent = Promise.all(links.map((link) => link.send('gradient-sum', { tensors: sum })));
    const hyper = this.#hyper(COPY, place);
    for (const part of partsAtSite(plan)) {
      const own = Object.fromEntries(Object.entries(sum).filter(([name]) => name.startsWith(`${part}.`)));
      await trunk.updateCopy(part, COPY, own, hyper);
    }
    await sent;
  }

  /** `average`: the mean of all sites' segments, weighted by their training records, goes back to all of them. */
  async averageSegments(): Promise<void> {
    const { links, schedule } = this.options;
    const states = await Promise.all(links.map((_, site) => this.receiveSegment(site)));
    this.passed = weightedMean(
      states.map(({ state }) => state),
      schedule.counts,
    );
    this.passedUpdates = Math.max(...states.map(({ updates }) => updates));
    await this.sendSegmentToAll();
  }

  async sendSegmentToAll(): Promise<void> {
    await Promise.all(this.options.links.map((_, site) => this.sendSegment(site)));
  }

  /** Takes a site's segment (and head), with the optimizer's state unless told otherwise. */
  async receiveSegment(
    site: number,
    withSlots = true,
    mayLeave = false,
  ): Promise<{ state: Record<string, Tensor>; updates: number }> {
    const state: Record<string, Tensor> = {};
    let updates = 0;
    for (const _ of this.#segmentChunks(withSlots)) {
      const { message } = await this.link(site).receive('weights', mayLeave);
      for (const { name, tensor } of message.tensors) state[name] = tensor;
      updates = message.scalars[0] ?? 0;
    }
    return { state, updates };
  }

  /** Sends the passed segment to a site. */
  async sendSegment(site: number): Promise<void> {
    const { plan } = this.options;
    const scalars = partsAtSite(plan).map(() => this.passedUpdates);
    for (const _ of this.#segmentChunks(true))
      await this.link(site).send('weights', { tensors: this.passed ?? {}, scalars });
  }

  /** `averaged`: the mean of the replicas' parameters, statistics and moments becomes every replica's. */
  async averageTrunks(scopes: readonly string[]): Promise<void> {
    const { trunk, schedule } = this.options;
    const states = await Promise.all(scopes.map((scope) => trunk.state('trunk', scope, true)));
    const mean = weightedMean(states, schedule.counts);
    await Promise.all(scopes.map((scope) => trunk.setState(scope, mean)));
    const updates = Math.max(...scopes.map((scope) => this.#updates.get(scope) ?? 0));
    for (const scope of scopes) this.#updates.set(scope, updates);
  }

  get steps(): number {
    return this.#steps;
  }

  #segmentChunks(withSlots: boolean): readonly unknown[] {
    const { plan, trunk } = this.options;
    return inChunks(partsAtSite(plan).flatMap((part) => stateTensors(part, trunk.layout(part), withSlots)));
  }

  #hyper(scope: string, { step, totalSteps }: StepPlace): Tensor {
    const update = (this.#updates.get(scope) ?? 0) + 1;
    this.#updates.set(scope, update);
    return hyperOf(this.options.plan.training, { step, totalSteps, update, scale: 1 });
  }

  /** Each record's factor in the step's loss: its class's weight over the records of the step; float32 [N]. */
  lossWeights(labels: ArrayLike<number>, records: number): Tensor {
    const weight = zeros('float32', [labels.length]);
    const classes = this.options.plan.task.kind === 'classification';
    for (let row = 0; row < weight.data.length; row++) {
      weight.data[row] = (classes ? (this.options.classWeights[labels[row] as number] ?? 0) : 1) / records;
    }
    return weight;
  }

  /** Tells of a step that the server made alone. */
  tellAlone(epoch: number, loss: Tensor, labels: ArrayLike<number>): void {
    const total = dot(loss, this.lossWeights(labels, labels.length), 0, labels.length);
    this.#tell({ epoch, step: this.#steps, totalSteps: 0 }, labels.length, total, []);
  }

  #tell(place: StepPlace, records: number, loss: number | null, siteLosses: StepReport['siteLosses']): void {
    this.options.onStep({ epoch: place.epoch, step: this.#steps, records, loss, siteLosses });
    this.#steps += 1;
  }
}

function slices(contributions: readonly Contribution[]): { site: number; from: number; count: number }[] {
  let from = 0;
  return contributions.map(({ site, batch }) => {
    const slice = { site, from, count: batch.count };
    from += batch.count;
    return slice;
  });
}

function dot(a: Tensor, b: Tensor, from: number, count: number): number {
  let sum = 0;
  for (let index = from; index < from + count; index++) sum += Number(a.data[index]) * Number(b.data[index]);
  return sum;
}
