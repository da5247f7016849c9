// A site's training steps: a batch's activations go up, and what comes down makes the segment (and the head) learn. Which line is
// next the script says; the agent calls accordingly.

import { assert, ProtocolError } from '../base/index.ts';
import {
  type Batch,
  commitsWithin,
  type Exchange,
  type Message,
  type Plan,
  type PooledFacts,
  type Schedule,
} from '../protocol/index.ts';
import { hyperOf } from '../split/index.ts';
import { float32, joinRows, rowsOf, type Tensor, zeros } from '../tensor/index.ts';
import type { BatchSource, LoadedBatch } from './batch-source.ts';
import type { SiteState } from './commits.ts';
import type { SiteLink } from './link.ts';
import type { Flight, SegmentRunner } from './segment-runner.ts';

/** One training step as the site sees it. */
export interface SiteStep {
  readonly epoch: number;
  readonly step: number;
  /** The step's loss over the site's own records. */
  readonly loss: number | null;
  readonly records: number;
}

export interface SiteTrainingOptions {
  readonly plan: Plan;
  readonly index: number;
  readonly link: SiteLink;
  readonly segment: SegmentRunner;
  readonly batches: BatchSource;
  readonly schedule: Schedule;
  readonly pooled: PooledFacts;
  /** Writes the site's half of a commit after so many server steps. */
  readonly commit: (steps: number) => Promise<void>;
  readonly onStep: (step: SiteStep) => void;
}

/** A batch whose cut gradient has not come. */
interface InFlight extends LoadedBatch {
  readonly flight: Flight;
}

export class SiteTraining {
  readonly #options: SiteTrainingOptions;
  /** [mean, sd] of the regression target, float32. */
  readonly #target: Tensor;
  /** Batches in the order in which their activations went up; at most a window's. */
  readonly #inFlight: InFlight[] = [];
  /** The last one's activations, until all of them are sent. */
  #cut: Tensor | undefined;
  /** The pieces of the first one's cut gradient that have come. */
  readonly #gradients: Tensor[] = [];
  /** Gradients that are to go up next. */
  #outgoing: Readonly<Record<string, Tensor>> = {};
  /** `turns`: server steps of the epoch before the turn, less the site's own. */
  #stepsBefore = 0;
  #loss = { sum: 0, records: 0 };
  /** The update by the last cut gradient. */
  #learning: Promise<void> = Promise.resolve();
  /** Updates of the segment so far: Adam's t. */
  updates = 0;

  constructor(options: SiteTrainingOptions) {
    this.#options = options;
    const { mean, sd } = options.pooled.target;
    this.#target = float32([mean, sd]);
  }

  /** Sends a batch's activations or the next piece of them, and after the last starts loading the next batch. */
  async sendBatch(line: Exchange, batch: Batch): Promise<void> {
    const { link, segment, batches } = this.#options;
    if (line.chunk === 0) {
      const loaded = await batches.take(line.epoch, batch);
      const { cut, flight } = await segment.forward(loaded.x, loaded.masks);
      this.#cut = cut;
      this.#inFlight.push({ ...loaded, flight });
      await this.#learning;
    }
    const { labels } = this.#inFlight.at(-1) as InFlight;
    const [from, count] = placeIn(batch, line);
    const cut = rowsOf(this.#cut as Tensor, from, count);
    await link.send('activations', { tensors: { cut, labels: rowsOf(labels, from, count) } });
    if (from + count === batch.count) {
      this.#cut = undefined;
      batches.loadAfter(line.epoch, batch);
    }
  }

  /** With the head at the site: its loss and gradients from the trunk's output. */
  async trunkOutput(): Promise<void> {
    const { link, segment } = this.#options;
    const { message } = await link.receive('trunk-output', (received) => this.#checkTotal(received));
    const output = message.tensors[0]?.tensor as Tensor;
    const current = this.#first;
    const total = message.scalars[0] ?? 0;
    const weight = this.#lossWeights(current, total);
    const { labels, masks, batch } = current;
    const { loss, gradient } = await segment.headStep(output, { labels, weight, target: this.#target, ...masks });
    this.#outgoing = { output: gradient };
    const weighted = dot(loss, weight);
    this.#loss = { sum: this.#loss.sum + weighted * total, records: this.#loss.records + batch.count };
    this.#tell(current, weighted);
  }

  /** The records of the step, which a training batch's output comes with, are what the schedule says. */
  #checkTotal({ scalars }: Message): void {
    const { batch, epoch } = this.#first;
    if (scalars[0] !== this.#recordsOfStep(batch, epoch))
      throw new ProtocolError('bad-field', 'trunk-output: its records are not those of the step');
  }

  /** Takes the cut gradient or the next piece of it; the last one makes the segment begin to learn. */
  async cutGradient(): Promise<void> {
    const { plan, link, segment } = this.#options;
    const { message, line } = await link.receive('cut-gradient', (received) => {
      if (plan.choices.segments !== 'mirrored') this.#checkCommitWord(received);
    });
    const current = this.#first;
    this.#gradients.push(message.tensors[0]?.tensor as Tensor);
    const [from, count] = placeIn(current.batch, line);
    if (from + count < current.batch.count) return;
    this.#inFlight.shift();
    const gradient = joinRows(this.#gradients.splice(0));
    if (plan.choices.labels === 'server') this.#tell(current, message.scalars[0] ?? 0);
    if (plan.choices.segments === 'mirrored') {
      this.#outgoing = await segment.gradients(current.flight, gradient);
      return;
    }
    const { step, scale } = this.#placeOf(current);
    // Not waited for: the next batch's forward pass is in the engine's queue by the time that this ends.
    this.#learning = segment.learn(current.flight, gradient, this.#hyper(step, scale));
    this.#learning.catch(() => undefined); // `learned` rejects with it.
    await this.#commitIfTold(message, line);
  }

  /** Resolves when the segment has learnt from all gradients that came. Rejects with what went wrong. */
  async learned(): Promise<void> {
    await this.#learning;
    await this.#options.segment.learnOwed();
  }

  /** Sends the gradient of the trunk's output, or with `mirrored` those of the parameters at the site. */
  async sendGradient(kind: 'output-gradient' | 'parameter-gradient'): Promise<void> {
    await this.#options.link.send(kind, { tensors: this.#outgoing });
  }

  async gradientSum(line: Exchange): Promise<void> {
    const { link, segment, schedule } = this.#options;
    const { message } = await link.receive('gradient-sum', (received) => this.#checkCommitWord(received));
    const sums = Object.fromEntries(message.tensors.map(({ name, tensor }) => [name, tensor]));
    await segment.update(sums, this.#hyper(schedule.stepsBefore(line.epoch) + line.step, 1));
    await this.#commitIfTold(message, line);
  }

  #checkCommitWord({ kind, scalars }: Message): void {
    const word = scalars.at(-1);
    if (commitsWithin(this.#options.plan) && word !== 0 && word !== 1)
      throw new ProtocolError('bad-field', `${kind}: whether to commit is neither 0 nor 1`);
  }

  /** A step's last answer says whether the site writes a commit once it has learnt from it. */
  async #commitIfTold(message: Message, { epoch, step }: Exchange): Promise<void> {
    const { plan, schedule, commit } = this.#options;
    if (!commitsWithin(plan) || message.scalars.at(-1) !== 1) return;
    await this.learned();
    await commit(schedule.stepsBefore(epoch) + step + 1);
  }

  async turn(): Promise<void> {
    const { index, link, schedule } = this.#options;
    const { line } = await link.receive('turn');
    const turn = schedule.turns(line.epoch).find(({ site, fromStep }) => site === index && fromStep === line.step);
    assert(turn, 'the script follows the schedule');
    this.#stepsBefore = turn.serverStep - turn.fromStep;
  }

  /** With the head at the site: the loss since it was last taken, summed over the records. */
  takeLoss(): { readonly sum: number; readonly records: number } {
    const loss = this.#loss;
    this.#loss = { sum: 0, records: 0 };
    return loss;
  }

  /** Updates and loss so far, for a commit. */
  get progress(): Pick<SiteState, 'updates' | 'loss'> {
    return { updates: this.updates, loss: this.#loss };
  }

  /** Goes on from a commit. */
  goOn({ updates, loss }: Pick<SiteState, 'updates' | 'loss'>): void {
    this.updates = updates;
    this.#loss = loss;
  }

  /** The batch whose cut gradient is next. */
  get #first(): InFlight {
    return this.#inFlight[0] as InFlight;
  }

  /** The server step that the learning rate counts, and the factor that makes the cut gradient that of the mean over the own batch. */
  #placeOf({ batch, epoch }: LoadedBatch): { step: number; scale: number } {
    const { plan, schedule, batches } = this.#options;
    const { order } = plan.choices;
    const before = schedule.stepsBefore(epoch);
    if (order === 'union') return { step: before + batch.step, scale: this.#recordsOfStep(batch, epoch) / batch.count };
    if (order === 'turns') return { step: before + this.#stepsBefore + batch.step, scale: 1 };
    return { step: epoch * batches.of(epoch).length + batch.index, scale: 1 };
  }

  /** Records of all sites in the server step that the batch belongs to. */
  #recordsOfStep(batch: Batch, epoch: number): number {
    const { plan, schedule } = this.#options;
    if (plan.choices.order !== 'union') return batch.count;
    return schedule.sharesOfStep(epoch, batch.step).reduce((sum, share) => sum + share, 0);
  }

  /** Each record's factor in the step's loss: its class's weight over the records of the step. */
  #lossWeights({ labels }: LoadedBatch, records: number): Tensor {
    const { plan, pooled } = this.#options;
    const weight = zeros('float32', labels.dims);
    const classes = plan.task.kind === 'classification';
    for (let row = 0; row < weight.data.length; row++)
      weight.data[row] = (classes ? (pooled.classWeights[Number(labels.data[row])] ?? 0) : 1) / records;
    return weight;
  }

  #hyper(step: number, scale: number): Tensor {
    const { plan, index, schedule } = this.#options;
    this.updates += 1;
    const totalSteps = schedule.scheduledSteps(index);
    return hyperOf(plan.training, { step, totalSteps, update: this.updates, scale });
  }

  #tell({ batch, epoch }: LoadedBatch, loss: number): void {
    this.#options.onStep({ epoch, step: batch.step, loss, records: batch.count });
  }
}

/** Which of its batch's records a line is about: the first, and how many. */
function placeIn(batch: Batch, { records }: Exchange): readonly [number, number] {
  assert(records, 'the line is about records');
  return [records.from - batch.from, records.count];
}

function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let index = 0; index < a.data.length; index++) sum += Number(a.data[index]) * Number(b.data[index]);
  return sum;
}
