// A site in a study. It follows its script line by line: what the script has it send it computes and sends, what the script has it
// receive it waits for and applies. It opens its own records only, and nothing but the script's messages leaves.

import { assert, type Clock, ProtocolError, type Seed, sha256Hex } from '../base/index.ts';
import type { Augmenting, OpenedData } from '../data/index.ts';
import type { Engine, EngineInfo } from '../engine/index.ts';
import type { OutputMeaning } from '../metrics/index.ts';
import {
  type Batch,
  checkUpdates,
  type Exchange,
  type Message,
  outputMeaning,
  partNames,
  type Plan,
  planHash,
  readPooled,
  requireRecords,
  Schedule,
  type ScriptFacts,
  Session,
  type SiteCounts,
  siteScript,
} from '../protocol/index.ts';
import { type CompiledStudy, hyperOf, initialState } from '../split/index.ts';
import { bytesOf, float32, type Tensor, tensor, zeros } from '../tensor/index.ts';
import type { Connection } from '../transport/index.ts';
import { BatchSource, type LoadedBatch } from './batch-source.ts';
import { censusOf } from './census.ts';
import { SiteLink } from './link.ts';
import { ReportBuilder } from './report.ts';
import { SegmentRunner } from './segment-runner.ts';

/** What a site is handed. */
export interface SiteOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  /** This site's place in `plan.sites`. */
  readonly index: number;
  readonly data: OpenedData;
  readonly engine: Engine;
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** With `segmentSeed: site`: the site's secret, 8 to 32 bytes. */
  readonly secretSeed?: Seed;
  readonly timeoutMs: number;
  /** Called at the end of each epoch with the site's half of the study's state; in `detached` once, after the upload. */
  readonly commit?: (commit: SiteCommit) => Promise<void>;
  readonly onEvent?: (event: SiteEvent) => void;
}

/** The site's half of a commit. */
export interface SiteCommit {
  readonly epoch: number;
  /** Updates of the segment so far: Adam's t. */
  readonly updates: number;
  /** Whether this epoch's model is the selected one so far. */
  readonly best: boolean;
  readonly engine: EngineInfo;
  /** Segment (and head): parameters, optimizer slots, statistics. */
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** What a site tells its operator as it goes. No record, label or value of a patient is in it. */
export type SiteEvent =
  /** `code` is the error's where a connection was lost; else ''. */
  | { readonly kind: 'connected' | 'lost'; readonly detail: string; readonly code: string }
  | { readonly kind: 'counts'; readonly counts: SiteCounts }
  | {
      readonly kind: 'step';
      readonly epoch: number;
      readonly step: number;
      readonly loss: number | null;
      readonly records: number;
    }
  | { readonly kind: 'uploaded'; readonly chunk: number; readonly records: number }
  | { readonly kind: 'epoch'; readonly epoch: number; readonly best: boolean };

/** What a site has at the end. */
export interface SiteResult {
  readonly counts: SiteCounts;
  /** The selected segment's (and head's) parameters and statistics by tensor name. */
  readonly segment: Readonly<Record<string, Tensor>>;
  /** The selected trunk, if the plan gives it to the sites. */
  readonly trunk?: Readonly<Record<string, Tensor>>;
  /** [mean, sd] of each standardised input column, and of the regression target last. */
  readonly standardisation: readonly (readonly [number, number])[];
  /** Training records of each class over all sites. */
  readonly classCounts: readonly number[];
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly reconnects: number;
  /** Milliseconds of computing at the engine, and of waiting for the server. */
  readonly computedMs: number;
  readonly waitedMs: number;
}

export class SiteAgent {
  readonly #options: SiteOptions;
  readonly #plan: Plan;
  readonly #session: Session;
  readonly #link: SiteLink;
  readonly #facts: ScriptFacts = { counts: [], chunksHeld: 0 };
  #schedule: Schedule | undefined;
  #weights: readonly number[] = [];
  #classCounts: readonly number[] = [];
  #standardisation: readonly (readonly [number, number])[] = [];
  #target: Tensor = float32([0, 1]);
  #runner: SegmentRunner | undefined;
  #current: LoadedBatch | undefined;
  #source: BatchSource | undefined;
  #updates = 0;
  #serverStep = 0;
  #outgoing: Readonly<Record<string, Tensor>> = {};
  #best: Readonly<Record<string, Tensor>> = {};
  #trunk: Record<string, Tensor> = {};
  #report: ReportBuilder | undefined;
  #meaning: OutputMeaning = { kind: 'regression', loss: 'mse', mean: 0, sd: 1 };
  #trainLoss = { sum: 0, records: 0 };
  #computedMs = 0;

  constructor(options: SiteOptions) {
    const { plan, index, connect, clock, signal, timeoutMs } = options;
    this.#options = options;
    this.#plan = plan;
    this.#session = new Session('site', siteScript(plan, index, this.#facts));
    this.#link = new SiteLink({
      site: plan.sites[index] ?? '',
      planHash: planHash(plan),
      session: this.#session,
      connect,
      clock,
      signal,
      timeoutMs,
      onState: (kind, detail, code) => options.onEvent?.({ kind, detail, code }),
    });
  }

  /** Takes part in the study to its end. Rejects with DataError, EngineError, ProtocolError, TransportError, TimeoutError or the signal's reason. */
  async run(): Promise<SiteResult> {
    const { engine, study, index, data, secretSeed } = this.#options;
    // The server would refuse the census; a site that cannot meet the minimum does not even connect.
    requireRecords(this.#plan, index, data.parts.train.count);
    try {
      const seed = this.#plan.choices.segmentSeed === 'site' ? secretSeed : this.#plan.seed;
      assert(seed !== undefined, 'segmentSeed: site comes with a secret');
      const { segment, head } = study.parts;
      this.#runner = await SegmentRunner.open(engine, study, {
        ...initialState(segment, seed),
        ...(head ? initialState(head, seed) : {}),
      });
      this.#best = await this.#runner.state(false);
      for (let line = this.#session.expected; line; line = this.#session.expected) await this.#follow(line);
      const counts = this.#facts.counts[index];
      assert(counts, 'the study ended after the census');
      return {
        counts,
        segment: this.#best,
        ...(this.#plan.trunkToSites ? { trunk: this.#trunk } : {}),
        standardisation: this.#standardisation,
        classCounts: this.#classCounts,
        bytesSent: this.#link.bytesSent,
        bytesReceived: this.#link.bytesReceived,
        reconnects: this.#link.reconnects,
        computedMs: this.#computedMs,
        waitedMs: this.#link.waitedMs,
      };
    } catch (error) {
      await this.#link.close(error);
      throw error;
    } finally {
      await this.#source?.close();
      await this.#link.close();
    }
  }

  async #follow(line: Exchange): Promise<void> {
    switch (line.kind) {
      case 'census':
        return this.#link.send('census', { tensors: censusOf(this.#options.data, this.#plan) });
      case 'pooled':
        return this.#pooled();
      case 'activations':
        return line.batch ? this.#sendBatch(line, line.batch) : this.#sendRows(line);
      case 'trunk-output':
        return this.#trunkOutput();
      case 'output-gradient':
        return this.#link.send('output-gradient', { tensors: this.#outgoing });
      case 'cut-gradient':
        return this.#cutGradient();
      case 'parameter-gradient':
        return this.#link.send('parameter-gradient', { tensors: this.#outgoing });
      case 'gradient-sum':
        return this.#gradientSum(line);
      case 'weights':
        return line.direction === 'up' ? this.#sendWeights(line) : this.#receiveWeights();
      case 'report':
        return this.#sendReport();
      case 'verdict':
        return this.#verdict();
      case 'turn':
        return this.#turn();
      case 'acknowledge':
        if (line.direction === 'up')
          return this.#session.isLast ? this.#link.farewell() : this.#link.send('acknowledge');
        await this.#link.receive('acknowledge');
        // The last one, about no chunk, says that the server has the whole upload.
        return line.records ? undefined : this.#commit(0, true);
      case 'finish':
        await this.#link.receive('finish');
        return;
      case 'hello':
      case 'welcome':
      case 'refuse':
        throw new TypeError(`${line.kind} is in no script`);
    }
  }

  async #pooled(): Promise<void> {
    const { plan, study, index, data } = this.#options;
    const own = { train: data.parts.train.count, val: data.parts.val.count, test: data.parts.test.count };
    const read = (message: Message) => readPooled(plan, message, index, own);
    const pooled = read((await this.#link.receive('pooled', read)).message);
    this.#facts.counts = pooled.counts;
    this.#facts.chunksHeld = pooled.chunksHeld;
    this.#weights = pooled.classWeights;
    this.#classCounts = pooled.classCounts;
    this.#standardisation = [...pooled.inputs, pooled.target].map(({ mean, sd }) => [mean, sd] as const);
    this.#target = float32([pooled.target.mean, pooled.target.sd]);
    this.#meaning = outputMeaning(plan, pooled.target);
    if (pooled.inputs.length > 0) {
      const [mean, sd] = [pooled.inputs.map((column) => column.mean), pooled.inputs.map((column) => column.sd)];
      data.pooling.setStandardisation({ mean, sd });
    }
    this.#schedule = new Schedule(
      plan,
      pooled.counts.map(({ train }) => train),
    );
    this.#source = new BatchSource(plan, study, index, data, this.#schedule);
    this.#options.onEvent?.({ kind: 'counts', counts: own });
  }

  /** Sends a training batch's activations, and starts loading the next batch. */
  async #sendBatch(line: Exchange, batch: Batch): Promise<void> {
    const current = await this.#batches.take(line.epoch, batch);
    this.#current = current;
    const cut = await this.#compute(() => this.#segment.forward(current.x, current.masks));
    await this.#link.send('activations', { tensors: { cut, labels: current.labels } });
    this.#batches.loadAfter(line.epoch, batch);
  }

  /** Sends activations of records in inference form: validation, test, or a chunk of a `detached` upload. */
  async #sendRows(line: Exchange): Promise<void> {
    const part = partNames[line.part] ?? 'train';
    const records = this.#options.data.parts[part];
    const range = line.records;
    assert(range, 'activations are about records');
    const rows = Int32Array.from({ length: range.count }, (_, row) => range.from + row);
    const pass = line.digest ? line.epoch : 0;
    const augmenting: Augmenting = {
      studySeed: this.#plan.seed,
      siteIndex: this.#options.index,
      epoch: 0,
      batchIndex: pass,
      firstRow: range.from,
    };
    const x = await (pass > 0 ? records.load(rows, augmenting) : records.load(rows));
    const cut = await this.#compute(() => this.#segment.evaluate(x));
    const tensors: Record<string, Tensor> = { cut, labels: this.#batches.labels(records, rows) };
    tensors['groups'] = tensor(
      'int32',
      [rows.length],
      Int32Array.from(rows, (row) => records.groups[row] ?? 0),
    );
    if (this.#plan.choices.labels === 'site')
      this.#report ??= new ReportBuilder(this.#plan, this.#meaning, records, this.#weights);
    if (line.digest) {
      const values = line.tensors.map((spec) => tensors[spec.name] as Tensor);
      await this.#link.send('activations', { tensors, digest: sha256Hex(...values.map(bytesOf)) });
      this.#options.onEvent?.({ kind: 'uploaded', chunk: line.chunk, records: rows.length });
    } else {
      await this.#link.send('activations', { tensors });
    }
  }

  /** The trunk's output came back to the head: in training its loss and gradient, else its predictions. */
  async #trunkOutput(): Promise<void> {
    const { message, line } = await this.#link.receive('trunk-output', (received) => this.#checkTotal(received));
    const output = message.tensors[0]?.tensor as Tensor;
    if (!line.batch) {
      const y = await this.#compute(() => this.#segment.evaluateHead(output));
      this.#report?.add(y, line.records?.from ?? 0);
      return;
    }
    const current = this.#current as LoadedBatch;
    const total = message.scalars[0] ?? 0;
    const weight = this.#lossWeights(current, total);
    const { loss, gradient } = await this.#compute(() =>
      this.#segment.headStep(output, { labels: current.labels, weight, target: this.#target, ...current.masks }),
    );
    this.#outgoing = { output: gradient };
    const weighted = dot(loss, weight);
    this.#trainLoss = {
      sum: this.#trainLoss.sum + weighted * total,
      records: this.#trainLoss.records + current.batch.count,
    };
    this.#tellStep(current, weighted);
  }

  /** The records of the step, which a training batch's output comes with, are what the schedule says. */
  #checkTotal({ scalars }: Message): void {
    if (scalars.length === 0) return;
    const { batch, epoch } = this.#current as LoadedBatch;
    if (scalars[0] !== this.#recordsOfStep(batch, epoch))
      throw new ProtocolError('bad-field', 'trunk-output: its records are not those of the step');
  }

  async #cutGradient(): Promise<void> {
    const { message } = await this.#link.receive('cut-gradient');
    const current = this.#current as LoadedBatch;
    const gradient = message.tensors[0]?.tensor as Tensor;
    if (this.#plan.choices.labels === 'server') this.#tellStep(current, message.scalars[0] ?? 0);
    if (this.#plan.choices.segments === 'mirrored') {
      this.#outgoing = await this.#compute(() => this.#segment.gradients(current.x, current.masks, gradient));
      return;
    }
    const { step, scale } = this.#placeOf(current);
    const hyper = this.#hyper(step, scale);
    await this.#compute(() => this.#segment.learn(current.x, current.masks, gradient, hyper));
  }

  async #gradientSum(line: Exchange): Promise<void> {
    const { message } = await this.#link.receive('gradient-sum');
    const sums = Object.fromEntries(message.tensors.map(({ name, tensor: value }) => [name, value]));
    const schedule = this.#schedule as Schedule;
    const hyper = this.#hyper(line.epoch * schedule.serverSteps + line.step, 1);
    await this.#compute(() => this.#segment.update(sums, hyper));
  }

  /** The server step that the learning rate counts, and the factor that makes the cut gradient that of the mean over the own batch. */
  #placeOf({ batch, epoch }: LoadedBatch): { step: number; scale: number } {
    const schedule = this.#schedule as Schedule;
    const { order } = this.#plan.choices;
    const before = epoch * schedule.serverSteps;
    if (order === 'union') return { step: before + batch.step, scale: this.#recordsOfStep(batch, epoch) / batch.count };
    if (order === 'turns') return { step: before + this.#serverStep + batch.step, scale: 1 };
    return { step: epoch * this.#batches.of(epoch).length + batch.index, scale: 1 };
  }

  /** Records of all sites in the server step that the batch belongs to. */
  #recordsOfStep(batch: Batch, epoch: number): number {
    if (this.#plan.choices.order !== 'union') return batch.count;
    return (this.#schedule as Schedule).sharesOfStep(epoch, batch.step).reduce((sum, share) => sum + share, 0);
  }

  async #turn(): Promise<void> {
    const { line } = await this.#link.receive('turn');
    const schedule = this.#schedule as Schedule;
    const turn = schedule
      .turns(line.epoch)
      .find(({ site, fromStep }) => site === this.#options.index && fromStep === line.step);
    assert(turn, 'the script follows the schedule');
    this.#serverStep = turn.serverStep - turn.fromStep;
  }

  async #sendWeights(line: Exchange): Promise<void> {
    const final = line.epoch === this.#plan.training.epochs;
    if (line.chunk === 0) this.#outgoing = final ? this.#best : await this.#segment.state(true);
    await this.#link.send('weights', {
      tensors: this.#outgoing,
      scalars: Array.from({ length: line.scalars }, () => this.#updates),
    });
  }

  async #receiveWeights(): Promise<void> {
    const { message, line } = await this.#link.receive('weights', checkUpdates);
    if (line.epoch === this.#plan.training.epochs) {
      for (const { name, tensor: value } of message.tensors) this.#trunk[name] = value;
      return;
    }
    const state = Object.fromEntries(message.tensors.map(({ name, tensor: value }) => [name, value]));
    this.#updates = message.scalars[0] ?? this.#updates;
    await this.#segment.setState(state);
  }

  async #sendReport(): Promise<void> {
    const records = this.#options.data.parts[partNames[this.#session.expected?.part ?? 1] ?? 'val'];
    const report = this.#report ?? new ReportBuilder(this.#plan, this.#meaning, records, this.#weights);
    this.#report = undefined;
    const train = this.#trainLoss;
    this.#trainLoss = { sum: 0, records: 0 };
    await this.#link.send('report', { tensors: report.tensors(train) });
  }

  async #verdict(): Promise<void> {
    const { message, line } = await this.#link.receive('verdict', ({ scalars: [better] }) => {
      if (better !== 0 && better !== 1) throw new ProtocolError('bad-field', 'verdict: neither 0 nor 1');
    });
    const best = message.scalars[0] === 1;
    if (best) this.#best = await this.#segment.state(false);
    this.#options.onEvent?.({ kind: 'epoch', epoch: line.epoch, best });
    await this.#commit(line.epoch, best);
    if (line.epoch + 1 === this.#plan.training.epochs) await this.#segment.setState(this.#best);
  }

  async #commit(epoch: number, best: boolean): Promise<void> {
    const { commit, engine } = this.#options;
    if (!commit) return;
    const tensors = await this.#segment.state(this.#plan.choices.when !== 'detached');
    await commit({ epoch, updates: this.#updates, best, engine: engine.info, tensors });
  }

  /** Each record's factor in the step's loss: its class's weight over the records of the step. */
  #lossWeights({ labels }: LoadedBatch, records: number): Tensor {
    const weight = zeros('float32', labels.dims);
    const classes = this.#plan.task.kind === 'classification';
    for (let row = 0; row < weight.data.length; row++) {
      weight.data[row] = (classes ? (this.#weights[Number(labels.data[row])] ?? 0) : 1) / records;
    }
    return weight;
  }

  #hyper(step: number, scale: number): Tensor {
    this.#updates += 1;
    const totalSteps = (this.#schedule as Schedule).scheduledSteps(this.#options.index);
    return hyperOf(this.#plan.training, { step, totalSteps, update: this.#updates, scale });
  }

  get #batches(): BatchSource {
    return this.#source as BatchSource;
  }

  get #segment(): SegmentRunner {
    return this.#runner as SegmentRunner;
  }

  async #compute<T>(work: () => Promise<T>): Promise<T> {
    const since = this.#options.clock.nowMs();
    const result = await work();
    this.#computedMs += this.#options.clock.nowMs() - since;
    return result;
  }

  #tellStep({ batch, epoch }: LoadedBatch, loss: number): void {
    this.#options.onEvent?.({ kind: 'step', epoch, step: batch.step, loss, records: batch.count });
  }
}

function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let index = 0; index < a.data.length; index++) sum += Number(a.data[index]) * Number(b.data[index]);
  return sum;
}
