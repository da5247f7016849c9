// A site in a study. It follows its script line by line: what the script has it send it computes and sends, what the script has it
// receive it waits for and applies. It opens its own records only, and nothing but the script's messages leaves.

import { assert, type Clock, DataError, ProtocolError, type Seed } from '../base/index.ts';
import type { OpenedData } from '../data/index.ts';
import type { Engine, EngineInfo } from '../engine/index.ts';
import {
  checkUpdates,
  type Exchange,
  type Message,
  partNames,
  type Plan,
  planHash,
  type PooledFacts,
  readPooled,
  requireRecords,
  Schedule,
  type ScriptFacts,
  Session,
  type SiteCounts,
  siteScript,
} from '../protocol/index.ts';
import { type CompiledStudy, initialState } from '../split/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Connection } from '../transport/index.ts';
import { BatchSource } from './batch-source.ts';
import { censusOf } from './census.ts';
import { SiteEvaluation } from './evaluation.ts';
import type { SiteKeys } from './greet.ts';
import { SiteLink } from './link.ts';
import { ReadAhead } from './read-ahead.ts';
import { SegmentRunner } from './segment-runner.ts';
import { type SiteStep, SiteTraining } from './training.ts';

/** What a site is handed. */
export interface SiteOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  /** This site's place in `plan.sites`. */
  readonly index: number;
  readonly data: OpenedData;
  readonly engine: Engine;
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  /** An enrolled site's; without them the server is taken at its word, as on this machine. */
  readonly keys?: SiteKeys | undefined;
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
  | ({ readonly kind: 'step' } & SiteStep)
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

/** What a site works with once it knows what all sites have. */
interface InStudy {
  readonly pooled: PooledFacts;
  readonly batches: BatchSource;
  readonly training: SiteTraining;
  readonly evaluation: SiteEvaluation;
}

export class SiteAgent {
  readonly #options: SiteOptions;
  readonly #plan: Plan;
  readonly #session: Session;
  readonly #link: SiteLink;
  readonly #facts: ScriptFacts = { counts: [], chunksHeld: 0 };
  #runner: SegmentRunner | undefined;
  /** Known after `pooled`. */
  #joined: InStudy | undefined;
  /** The segment's state while it goes up message by message. */
  #outgoing: Readonly<Record<string, Tensor>> = {};
  #best: Readonly<Record<string, Tensor>> = {};
  #trunk: Record<string, Tensor> = {};

  constructor(options: SiteOptions) {
    const { plan, index, connect, keys, clock, signal, timeoutMs } = options;
    this.#options = options;
    this.#plan = plan;
    this.#session = new Session('site', siteScript(plan, index, this.#facts));
    this.#link = new SiteLink({
      site: plan.sites[index] ?? '',
      planHash: planHash(plan),
      session: this.#session,
      connect,
      keys,
      clock,
      signal,
      timeoutMs,
      onState: (kind, detail, code) => options.onEvent?.({ kind, detail, code }),
    });
  }

  /** Takes part in the study to its end. Rejects with DataError, EngineError, ProtocolError, TransportError, TimeoutError or the signal's reason. */
  async run(): Promise<SiteResult> {
    const { engine, study, index, data, clock, signal, secretSeed } = this.#options;
    // The server would refuse the census; a site that cannot meet the minimum does not even connect.
    requireRecords(this.#plan, index, data.parts.train.count);
    if (this.#plan.network.loss === 'rmsle') requireNoTargetBelowZero(data, this.#plan.sites[index] ?? '');
    const ahead = new ReadAhead(data, clock, signal);
    try {
      const seed = this.#plan.choices.segmentSeed === 'site' ? secretSeed : this.#plan.seed;
      assert(seed !== undefined, 'segmentSeed: site comes with a secret');
      const { segment, head } = study.parts;
      const start = { ...initialState(segment, seed), ...(head ? initialState(head, seed) : {}) };
      this.#runner = await SegmentRunner.open(engine, study, start, clock);
      this.#best = await this.#runner.state(false);
      await ahead.done();
      for (let line = this.#session.expected; line; line = this.#session.expected) await this.#follow(line);
      const counts = this.#facts.counts[index];
      assert(counts, 'the study ended after the census');
      const { inputs, target, classCounts } = this.#inStudy.pooled;
      return {
        counts,
        segment: this.#best,
        ...(this.#plan.trunkToSites ? { trunk: this.#trunk } : {}),
        standardisation: [...inputs, target].map(({ mean, sd }) => [mean, sd] as const),
        classCounts,
        bytesSent: this.#link.bytesSent,
        bytesReceived: this.#link.bytesReceived,
        reconnects: this.#link.reconnects,
        computedMs: this.#segment.computedMs,
        waitedMs: this.#link.waitedMs,
      };
    } catch (error) {
      await this.#link.close(error);
      throw error;
    } finally {
      await ahead.close();
      await this.#joined?.batches.close();
      await this.#link.close();
    }
  }

  async #follow(line: Exchange): Promise<void> {
    if (line.kind !== 'activations' || !line.batch) await this.#joined?.training.learned();
    switch (line.kind) {
      case 'census':
        return this.#link.send('census', { tensors: censusOf(this.#options.data, this.#plan) });
      case 'pooled':
        return this.#pooled();
      case 'activations':
        return line.batch
          ? this.#inStudy.training.sendBatch(line, line.batch)
          : this.#inStudy.evaluation.sendRows(line);
      case 'trunk-output':
        return line.batch ? this.#inStudy.training.trunkOutput() : this.#inStudy.evaluation.trunkOutput();
      case 'output-gradient':
      case 'parameter-gradient':
        return this.#inStudy.training.sendGradient(line.kind);
      case 'cut-gradient':
        return this.#inStudy.training.cutGradient();
      case 'gradient-sum':
        return this.#inStudy.training.gradientSum(line);
      case 'weights':
        return line.direction === 'up' ? this.#sendWeights(line) : this.#receiveWeights();
      case 'report':
        return this.#inStudy.evaluation.sendReport(line, this.#inStudy.training.takeLoss());
      case 'verdict':
        return this.#verdict();
      case 'turn':
        return this.#inStudy.training.turn();
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
      case 'challenge':
      case 'enrol':
      case 'enrolled':
        throw new TypeError(`${line.kind} is in no script`);
    }
  }

  async #pooled(): Promise<void> {
    const { plan, study, index, data, onEvent } = this.#options;
    const link = this.#link;
    const segment = this.#segment;
    const own = { train: data.parts.train.count, val: data.parts.val.count, test: data.parts.test.count };
    const read = (message: Message) => readPooled(plan, message, index, own);
    const pooled = read((await link.receive('pooled', read)).message);
    this.#facts.counts = pooled.counts;
    this.#facts.chunksHeld = pooled.chunksHeld;
    if (pooled.inputs.length > 0) {
      const [mean, sd] = [pooled.inputs.map((column) => column.mean), pooled.inputs.map((column) => column.sd)];
      data.pooling.setStandardisation({ mean, sd });
    }
    const schedule = new Schedule(
      plan,
      pooled.counts.map(({ train }) => train),
    );
    const batches = new BatchSource(plan, study, index, data, schedule);
    const shared = { plan, index, link, segment, batches, pooled };
    this.#joined = {
      pooled,
      batches,
      training: new SiteTraining({ ...shared, schedule, onStep: (step) => onEvent?.({ kind: 'step', ...step }) }),
      evaluation: new SiteEvaluation({
        ...shared,
        data,
        onUploaded: (chunk, records) => onEvent?.({ kind: 'uploaded', chunk, records }),
      }),
    };
    onEvent?.({ kind: 'counts', counts: own });
  }

  async #sendWeights(line: Exchange): Promise<void> {
    const final = line.epoch === this.#plan.training.epochs;
    if (line.chunk === 0) this.#outgoing = final ? this.#best : await this.#segment.state(true);
    await this.#link.send('weights', {
      tensors: this.#outgoing,
      scalars: new Array<number>(line.scalars).fill(this.#inStudy.training.updates),
    });
  }

  async #receiveWeights(): Promise<void> {
    const { message, line } = await this.#link.receive('weights', checkUpdates);
    if (line.epoch === this.#plan.training.epochs) {
      for (const { name, tensor: value } of message.tensors) this.#trunk[name] = value;
      return;
    }
    const state = Object.fromEntries(message.tensors.map(({ name, tensor: value }) => [name, value]));
    const { training } = this.#inStudy;
    training.updates = message.scalars[0] ?? training.updates;
    await this.#segment.setState(state);
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
    await commit({ epoch, updates: this.#inStudy.training.updates, best, engine: engine.info, tensors });
  }

  get #segment(): SegmentRunner {
    return this.#runner as SegmentRunner;
  }

  get #inStudy(): InStudy {
    return this.#joined as InStudy;
  }
}

/** Throws DataError when a record has a target that `rmsle` has no logarithm for. */
function requireNoTargetBelowZero({ parts }: OpenedData, site: string): void {
  const below = partNames.flatMap((part) => {
    const { labels, ids } = parts[part];
    return ids.filter((_, row) => (labels[row] ?? 0) < 0);
  });
  if (below.length === 0) return;
  throw new DataError(
    'bad-data',
    `site ${site}: ${below.length} records have a target below zero, the first is ${below[0]}; the loss rmsle takes none: use mse, or leave these records out`,
  );
}
