// What every order of training shares: the study's fixed facts, one server step on the batches of one or more sites, and the exchange
// of segments. Which batches make a step is decided in orders.ts.

import { EngineError } from '../base/index.ts';
import type { Batch, Plan, Schedule, SiteCounts } from '../protocol/index.ts';
import { commitsWithin, inChunks, partsAtSite, piecesOf, stateTensors } from '../protocol/index.ts';
import { type CompiledStudy, dropoutMasks, hyperOf, masksOf } from '../split/index.ts';
import { cloneTensor, joinRows, rowsOf, type Tensor, zeros } from '../tensor/index.ts';
import { sumInOrder, weightedMean } from './combine.ts';
import type { ServerCommit } from './commits.ts';
import type { ServerSiteLink } from './site-link.ts';
import type { TrunkRows, TrunkRunner, TrunkStep } from './trunk-runner.ts';

/** Scope of the server's own copy of the sites' segment. */
export const COPY = 'copy/';

/** Whether the server keeps such a copy, which learns as the sites' segments do. */
export function hasCopy({ choices }: Pick<Plan, 'choices'>): boolean {
  return choices.segments === 'mirrored' && choices.when !== 'detached';
}

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
  /** `buffered` with `arrival`: how old the step's batch was. */
  readonly staleness?: Staleness;
}

/** How old a batch is that was taken from the queue. */
export interface Staleness {
  /** Server steps that were made while it waited. */
  readonly waitedSteps: number;
  /** Updates of its segment that its forward pass did not have; less than `windowSteps`. */
  readonly updatesBehind: number;
}

/** One site's part of a step. */
export interface SiteBatch {
  readonly site: number;
  readonly batch: Batch;
}

/** What a step computes for some records of a batch, and their factors in its loss. */
interface Computed {
  readonly weight: Tensor;
  readonly results: Promise<TrunkRows>;
}

/** What a site gets of a step. */
interface Answer {
  /** Its share of the step's loss. */
  readonly loss: number;
  /** Resolves when it has taken its cut gradient, or has lost its connection. */
  readonly delivered: Promise<void>;
}

/** Of a step whose batch is from a queue. */
export interface Queued {
  readonly staleness: Staleness;
  /** Told of the cut gradient that is on its way. */
  readonly deliver: (delivered: Promise<void>) => void;
}

/** Where a step's update stands in the learning-rate schedule. */
export interface StepPlace {
  readonly epoch: number;
  readonly step: number;
  readonly totalSteps: number;
  /** Whether the sites are to write a commit when they have learnt from the step. */
  readonly commits?: boolean;
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
  /** Whether it is time for a commit within the epoch; and writes the server's half of it. */
  readonly commitIsDue: () => boolean;
  readonly commit: () => Promise<void>;
  readonly onStep: (report: StepReport) => void;
  /** Before a step whose place in the order is not fixed by the plan, the site is written to a log. */
  readonly logOrder: (entry: { readonly epoch: number; readonly site: number; readonly step: number }) => Promise<void>;
}

export class Training {
  readonly options: TrainingOptions;
  /** Updates of the trunk (by scope) and of the segment copy: Adam's t. */
  readonly #updates = new Map<string, number>();
  #steps = 0;
  /** By site: resolves when it has taken all cut gradients so far. Later ones wait for that, for they go in the script's order. */
  readonly #delivered: Promise<void>[] = [];
  /** The segment that passes between sites or is averaged, as it stands; with its optimizer state. */
  passed: Readonly<Record<string, Tensor>> | undefined;
  passedUpdates = 0;
  /** Settles when nothing that went on side by side uses the engine any more. */
  quiet: Promise<unknown> = Promise.resolve();

  constructor(options: TrainingOptions) {
    this.options = options;
  }

  link(site: number): ServerSiteLink {
    return this.options.links[site] as ServerSiteLink;
  }

  /**
   * One atomic server step on these batches, in site order. Each site's activations go to the engine when they are there, and its cut
   * gradient goes back when it is known: the others may still be computing. Resolves when every site has taken it or lost its connection;
   * where the batch is from a queue, when it is on its way.
   */
  async step(scope: string, batches: readonly SiteBatch[], place: StepPlace, queued?: Queued): Promise<void> {
    const { plan, trunk, target } = this.options;
    const hyper = this.#hyper(scope, place);
    if (plan.choices.labels === 'site') return this.#stepWithHeads(scope, batches, hyper, place);
    const records = batches.reduce((sum, { batch }) => sum + batch.count, 0);
    const step = trunk.begin(scope, { hyper, target });
    const answers: Promise<Answer>[] = [];
    let first = 0;
    try {
      for (const one of batches) {
        const computed = await this.#addBatch(step, one, first, records, place);
        const answer = this.#answer(one.site, computed, place);
        answer.catch(() => undefined); // Seen below, when the step has ended.
        answers.push(answer);
        first += one.batch.count;
      }
    } catch (error) {
      // The engine is to hold nothing of a step that will not be whole. What it makes of the trunk is given up with all the rest.
      await step.end().catch(() => undefined);
      throw error;
    }
    await step.end();
    const given = await Promise.all(answers);
    const delivered = Promise.all(given.map((answer) => answer.delivered)).then(() => undefined);
    if (queued) queued.deliver(delivered);
    else await delivered;
    const total = given.reduce((sum, { loss }) => sum + loss, 0);
    const siteLosses = batches.map(({ site }, index) => ({ site, loss: given[index]?.loss ?? null }));
    this.#tell(place, { records, loss: total, siteLosses, ...(queued ? { staleness: queued.staleness } : {}) });
  }

  /** Gives a site's activations to a step, piece by piece as they come. `first`: records of the step before the batch's. */
  async #addBatch(
    step: TrunkStep,
    one: SiteBatch,
    first: number,
    records: number,
    place: StepPlace,
  ): Promise<readonly Computed[]> {
    const masks = Object.entries(this.#masks([one], place));
    const computed: Computed[] = [];
    for (const { from, count } of piecesOf(this.options.plan, first, one.batch.count)) {
      const [cut, labels] = (await this.#activations(one.site)) as [Tensor, Tensor];
      const weight = this.lossWeights(labels.data as Int32Array | Float32Array, records);
      const rows: Record<string, Tensor> = { cut, labels, weight: cloneTensor(weight) };
      for (const [name, mask] of masks) rows[name] = cloneTensor(rowsOf(mask, from, count));
      const results = step.add(rows);
      results.catch(() => undefined); // Seen by whoever answers the site.
      computed.push({ weight, results });
    }
    return computed;
  }

  /** Sends a site its cut gradient. Throws EngineError when its loss is not a finite number. */
  async #answer(site: number, computed: readonly Computed[], place: StepPlace): Promise<Answer> {
    const { epoch, step } = place;
    let own = 0;
    let delivered = this.#delivered[site] ?? Promise.resolve();
    for (const [piece, { weight, results }] of computed.entries()) {
      const { loss, gradient } = await results;
      own = dot(loss, weight, own);
      if (!Number.isFinite(own)) {
        throw new EngineError(
          'run-failed',
          `epoch ${epoch}, server step ${step}: the loss is not a finite number: the network has diverged, or a site sends activations beyond any measure; try a lower learning rate`,
        );
      }
      const word = this.#commitWord(place, piece === computed.length - 1);
      const values = { tensors: { cut: gradient as Tensor }, scalars: [own, ...word] };
      delivered = delivered.then(() => this.link(site).send('cut-gradient', values));
      delivered.catch(() => undefined); // Seen by whoever waits for the last.
    }
    this.#delivered[site] = delivered;
    return { loss: own, delivered };
  }

  /** What a cut gradient says of commits, where it says something: 1 with the last piece of a step after which the site writes one. */
  #commitWord({ commits = false }: StepPlace, isLast = true): readonly number[] {
    const { plan } = this.options;
    if (!commitsWithin(plan) || plan.choices.segments === 'mirrored') return [];
    return [commits && isLast ? 1 : 0];
  }

  /** Takes a training batch's activations from a site: the cut and, with the labels at the server, the labels, as the script has them. */
  async #activations(site: number): Promise<readonly Tensor[]> {
    const { message } = await this.link(site).receive('activations');
    return message.tensors.map(({ tensor }) => tensor);
  }

  /** The trunk's dropout masks for these batches' records. */
  #masks(batches: readonly SiteBatch[], { epoch }: StepPlace): Record<string, Tensor> {
    const { plan, study } = this.options;
    const specs = masksOf(study, 'trunk');
    return dropoutMasks(
      plan.seed,
      specs,
      batches.map(({ site, batch }) => ({ place: [site, epoch, batch.index], rows: batch.count })),
    );
  }

  async #stepWithHeads(scope: string, batches: readonly SiteBatch[], hyper: Tensor, place: StepPlace): Promise<void> {
    const { trunk } = this.options;
    const parts = slices(batches);
    const records = parts.reduce((sum, { count }) => sum + count, 0);
    const cuts: Tensor[] = [];
    for (const { site } of batches) cuts.push((await this.#activations(site))[0] as Tensor);
    const feeds = { cut: joinRows(cuts), hyper, ...this.#masks(batches, place) };
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
        this.link(site).send('cut-gradient', {
          tensors: { cut: rowsOf(gradient, from, count) },
          scalars: this.#commitWord(place),
        }),
      ),
    );
    this.#tell(place, { records, loss: null, siteLosses: parts.map(({ site }) => ({ site, loss: null })) });
  }

  /** `mirrored`: adds the parameter gradients of the sites that took part, in site order; all sites and the server's copy apply the sum. */
  async mirrorStep(sites: readonly number[], place: StepPlace): Promise<void> {
    const { plan, schedule, trunk } = this.options;
    const gradients: Record<string, Tensor>[] = [];
    for (const site of sites) {
      const { message } = await this.link(site).receive('parameter-gradient');
      gradients.push(Object.fromEntries(message.tensors.map(({ name, tensor }) => [name, tensor])));
    }
    const sum = sumInOrder(gradients);
    const sent = Promise.all(
      schedule.members.map((site) =>
        this.link(site).send('gradient-sum', {
          tensors: sum,
          scalars: commitsWithin(plan) ? [place.commits === true ? 1 : 0] : [],
        }),
      ),
    );
    const hyper = this.#hyper(COPY, place);
    for (const part of partsAtSite(plan)) {
      const own = Object.fromEntries(Object.entries(sum).filter(([name]) => name.startsWith(`${part}.`)));
      await trunk.updateCopy(part, COPY, own, hyper);
    }
    await sent;
  }

  /** `average`: the mean of all sites' segments, weighted by their training records, goes back to all of them. */
  async averageSegments(): Promise<void> {
    const { members, memberCounts } = this.options.schedule;
    const states = await Promise.all(members.map((site) => this.receiveSegment(site)));
    this.passed = weightedMean(
      states.map(({ state }) => state),
      memberCounts,
    );
    this.passedUpdates = Math.max(...states.map(({ updates }) => updates));
    await this.sendSegmentToAll();
  }

  async sendSegmentToAll(): Promise<void> {
    await Promise.all(this.options.schedule.members.map((site) => this.sendSegment(site)));
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
  sendSegment(site: number): Promise<void> {
    return this.sendState(site, this.passed ?? {}, this.passedUpdates, true);
  }

  /** Sends a site a segment (and head). */
  async sendState(
    site: number,
    tensors: Readonly<Record<string, Tensor>>,
    updates: number,
    withSlots: boolean,
  ): Promise<void> {
    const scalars = partsAtSite(this.options.plan).map(() => updates);
    for (const _ of this.#segmentChunks(withSlots)) await this.link(site).send('weights', { tensors, scalars });
  }

  /** Updates of the segment that the server knows: of its copy, or of the one that passes or is averaged. */
  get segmentUpdates(): number {
    return hasCopy(this.options.plan) ? (this.#updates.get(COPY) ?? 0) : this.passedUpdates;
  }

  /** `averaged`: the mean of the parameters, statistics and moments of the members' replicas becomes every replica's. */
  async averageTrunks(scopes: readonly string[]): Promise<void> {
    const { trunk, schedule } = this.options;
    const taking = schedule.members.map((site) => scopes[site] as string);
    const states = await Promise.all(taking.map((scope) => trunk.state('trunk', scope, true)));
    const mean = weightedMean(states, schedule.memberCounts);
    await Promise.all(scopes.map((scope) => trunk.setState(scope, mean)));
    const updates = Math.max(...scopes.map((scope) => this.#updates.get(scope) ?? 0));
    for (const scope of scopes) this.#updates.set(scope, updates);
  }

  /** Resolves when all works have, and rejects as the first that does, while others may still go on. */
  async sideBySide(works: readonly Promise<void>[]): Promise<void> {
    this.quiet = Promise.allSettled(works);
    await Promise.all(works);
  }

  get steps(): number {
    return this.#steps;
  }

  /** So many steps are passed: those that only absent sites would have made are not made. */
  passTo(steps: number): void {
    this.#steps = Math.max(this.#steps, steps);
  }

  /** Updates by scope: Adam's t. */
  get updates(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#updates);
  }

  /** Goes on from a commit. `passed`: the segment that passes between the sites or is averaged, with its optimizer state. */
  goOn({ steps, updates, passedUpdates }: ServerCommit, passed: Readonly<Record<string, Tensor>>): void {
    this.#steps = steps;
    for (const [scope, count] of Object.entries(updates)) this.#updates.set(scope, count);
    this.passed = passed;
    this.passedUpdates = passedUpdates;
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
    const total = dot(loss, this.lossWeights(labels, labels.length));
    this.#tell({ epoch }, { records: labels.length, loss: total, siteLosses: [] });
  }

  #tell({ epoch }: Pick<StepPlace, 'epoch'>, made: Omit<StepReport, 'epoch' | 'step'>): void {
    this.options.onStep({ epoch, step: this.#steps, ...made });
    this.#steps += 1;
  }
}

function slices(batches: readonly SiteBatch[]): { site: number; from: number; count: number }[] {
  let from = 0;
  return batches.map(({ site, batch }) => {
    const slice = { site, from, count: batch.count };
    from += batch.count;
    return slice;
  });
}

/** The sum of the products, after what was summed before. */
function dot(a: Tensor, b: Tensor, before = 0): number {
  let sum = before;
  for (let index = 0; index < b.data.length; index++) sum += Number(a.data[index]) * Number(b.data[index]);
  return sum;
}
