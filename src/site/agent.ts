// A site in a study. It follows its script line by line: what the script has it send it computes and sends, what the script has it
// receive it waits for and applies. It opens its own records only, and nothing but the script's messages leaves.

import { assert, type Clock, DataError, ProtocolError, type Seed } from '../base/index.ts';
import type { OpenedData } from '../data/index.ts';
import type { Engine } from '../engine/index.ts';
import {
  checkUpdates,
  COMMITS_HELD,
  type Exchange,
  isGivenSegment,
  type Message,
  partNames,
  type Plan,
  planHash,
  type PooledFacts,
  readPooled,
  requireRecords,
  type Schedule,
  scheduleOf,
  type ScriptFacts,
  Session,
  type SiteCounts,
  siteScript,
  type Standing,
  unknownFacts,
  windowOf,
} from '../protocol/index.ts';
import { type CompiledStudy, initialState } from '../split/index.ts';
import type { CommitStore, Ledger } from '../store/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Connection } from '../transport/index.ts';
import { BatchSource } from './batch-source.ts';
import { censusOf } from './census.ts';
import { SiteCommits } from './commits.ts';
import { SiteEvaluation } from './evaluation.ts';
import type { SiteKeys } from './greet.ts';
import { SiteLink } from './link.ts';
import { OutboundLedger } from './outbound-ledger.ts';
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
  /** Where the site keeps its half of the study's state, and goes on from: at the end of each epoch; in `detached` once, after the upload. */
  readonly commits?: CommitStore | undefined;
  /** Where every message is recorded before it leaves, and what was refused. */
  readonly ledger?: Ledger | undefined;
  /** Keeps what the site ends with. Only when it has, the server is told that it has everything; what it throws the site ends with. */
  readonly keep?: ((result: SiteResult) => Promise<void>) | undefined;
  readonly onEvent?: (event: SiteEvent) => void;
}

/** What a site tells its operator as it goes. No record, label or value of a patient is in it. */
export type SiteEvent =
  /** `code` is the error's where a connection was lost; else ''. */
  | { readonly kind: 'connected' | 'lost'; readonly detail: string; readonly code: string }
  | { readonly kind: 'counts'; readonly counts: SiteCounts }
  | ({ readonly kind: 'step' } & SiteStep)
  | { readonly kind: 'uploaded'; readonly chunk: number; readonly records: number }
  | { readonly kind: 'epoch'; readonly epoch: number; readonly best: boolean }
  /** The site's half of a commit after so many server steps is on disk. */
  | { readonly kind: 'commit'; readonly step: number }
  /** The site goes on after so many server steps of the study. */
  | { readonly kind: 'resumed'; readonly step: number }
  /** The study has come so far without this site, which takes part from here on. */
  | { readonly kind: 'entered'; readonly step: number }
  | { readonly kind: 'warning'; readonly text: string };

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
  readonly schedule: Schedule;
  readonly batches: BatchSource;
  readonly training: SiteTraining;
  readonly evaluation: SiteEvaluation;
}

export class SiteAgent {
  readonly #options: SiteOptions;
  readonly #plan: Plan;
  readonly #link: SiteLink;
  readonly #commits: SiteCommits | undefined;
  #session: Session;
  #facts: ScriptFacts;
  #runner: SegmentRunner | undefined;
  /** What the site's records add up to. */
  #census: Readonly<Record<string, Tensor>> = {};
  /** The commits that it holds, by the server steps before each. */
  #held: readonly number[] = [];
  /** Known after `pooled`. */
  #joined: InStudy | undefined;
  /** The segment's state while it goes up message by message. */
  #outgoing: Readonly<Record<string, Tensor>> = {};
  #best: Readonly<Record<string, Tensor>> = {};
  #trunk: Record<string, Tensor> = {};

  constructor(options: SiteOptions) {
    const { plan, index, engine, commits, connect, keys, clock, signal, timeoutMs, onEvent } = options;
    const site = plan.sites[index] ?? '';
    this.#options = options;
    this.#plan = plan;
    this.#facts = unknownFacts(plan);
    this.#session = new Session('site', siteScript(plan, index, this.#facts));
    this.#link = new SiteLink({
      site,
      planHash: planHash(plan),
      // No result depends on it, and no secret: it tells processes apart.
      life: Math.random().toString(36).slice(2, 12).padEnd(10, '0'),
      session: this.#session,
      outbound: new OutboundLedger(options.ledger),
      connect,
      keys,
      clock,
      signal,
      timeoutMs,
      onState: (kind, detail, code) => onEvent?.({ kind, detail, code }),
    });
    const onProblem = (text: string) => onEvent?.({ kind: 'warning', text });
    this.#commits = commits && new SiteCommits({ store: commits, site, plan, engine: engine.info, onProblem });
  }

  /** Takes part in the study to its end. Rejects with DataError, EngineError, ProtocolError, TransportError, TimeoutError or the signal's reason. */
  async run(): Promise<SiteResult> {
    const { engine, study, index, data, clock, signal } = this.#options;
    // The server would refuse the census; a site that cannot meet the minimum does not even connect.
    requireRecords(this.#plan, index, data.parts.train.count);
    if (this.#plan.network.loss === 'rmsle') requireNoTargetBelowZero(data, this.#plan.sites[index] ?? '');
    const ahead = new ReadAhead(data, clock, signal);
    try {
      this.#runner = await SegmentRunner.open(engine, study, this.#start(), {
        window: windowOf(this.#plan),
        clock,
      });
      this.#census = censusOf(data, this.#plan);
      await ahead.done();
      for (;;) {
        try {
          return await this.#course();
        } catch (error) {
          await this.#beginAnew(error);
        }
      }
    } catch (error) {
      await this.#link.close(error);
      throw error;
    } finally {
      await ahead.close();
      await this.#joined?.batches.close();
      await this.#link.close();
    }
  }

  /** The study from its first line to its last. */
  async #course(): Promise<SiteResult> {
    this.#held = (await this.#commits?.held()) ?? [];
    for (let line = this.#session.expected; line; line = this.#session.expected) await this.#follow(line);
    return this.#result();
  }

  #result(): SiteResult {
    const { index } = this.#options;
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
  }

  /** After the server has told the site to: everything from the first line on. Throws `reason` when it is another one. */
  async #beginAnew(reason: unknown): Promise<void> {
    const { plan, index } = this.#options;
    this.#facts = unknownFacts(plan);
    this.#session = new Session('site', siteScript(plan, index, this.#facts));
    await this.#link.beginAnew(this.#session, reason);
    const joined = this.#joined;
    this.#joined = undefined;
    await joined?.training.learned().catch(() => undefined); // What it learnt is given up.
    await joined?.batches.close();
    this.#trunk = {};
  }

  /** Segment (and head) as the study begins. */
  #start(): Record<string, Tensor> {
    const { study, secretSeed } = this.#options;
    const seed = this.#plan.choices.segmentSeed === 'site' ? secretSeed : this.#plan.seed;
    assert(seed !== undefined, 'segmentSeed: site comes with a secret');
    const { segment, head } = study.parts;
    return { ...initialState(segment, seed), ...(head ? initialState(head, seed) : {}) };
  }

  async #follow(line: Exchange): Promise<void> {
    if (line.kind !== 'activations' || !line.batch) await this.#joined?.training.learned();
    switch (line.kind) {
      case 'census':
        return this.#link.send('census', {
          tensors: this.#census,
          scalars: Array.from({ length: COMMITS_HELD }, (_, place) => this.#held[place] ?? 0),
        });
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
        await this.#options.keep?.(this.#result());
        return;
      case 'hello':
      case 'welcome':
      case 'refuse':
      case 'challenge':
      case 'enrol':
      case 'enrolled':
      case 'withdraw':
      case 'withdrawn':
        throw new TypeError(`${line.kind} is in no script`);
    }
  }

  async #pooled(): Promise<void> {
    const { plan, study, index, data, onEvent } = this.#options;
    const link = this.#link;
    const segment = this.#segment;
    const own = { train: data.parts.train.count, val: data.parts.val.count, test: data.parts.test.count };
    const read = (message: Message): PooledFacts => {
      const facts = readPooled(plan, message, index, own);
      const { startStep, entering } = facts.standing;
      if (startStep > 0 && entering[index] !== true && !this.#held.includes(startStep))
        throw new ProtocolError('bad-field', `pooled: this site has no commit after step ${startStep}`);
      return facts;
    };
    const pooled = read((await link.receive('pooled', read)).message);
    this.#facts.counts = pooled.counts;
    this.#facts.chunksHeld = pooled.chunksHeld;
    this.#facts.standing = pooled.standing;
    if (pooled.inputs.length > 0) {
      const [mean, sd] = [pooled.inputs.map((column) => column.mean), pooled.inputs.map((column) => column.sd)];
      data.pooling.setStandardisation({ mean, sd });
    }
    const schedule = scheduleOf(plan, pooled.counts, pooled.standing);
    const batches = new BatchSource(plan, study, index, data, schedule);
    const shared = { plan, index, link, segment, batches, pooled };
    this.#joined = {
      pooled,
      schedule,
      batches,
      training: new SiteTraining({
        ...shared,
        schedule,
        commit: (steps) => this.#commit(steps, false),
        onStep: (step) => onEvent?.({ kind: 'step', ...step }),
      }),
      evaluation: new SiteEvaluation({
        ...shared,
        data,
        onUploaded: (chunk, records) => onEvent?.({ kind: 'uploaded', chunk, records }),
      }),
    };
    onEvent?.({ kind: 'counts', counts: own });
    await this.#goOn(pooled.standing, schedule);
  }

  /** Puts the state of a commit, or of the start, at the engine. A site that enters goes on with its own last one, or is given another yet. */
  async #goOn(standing: Standing, schedule: Schedule): Promise<void> {
    const { index, onEvent } = this.#options;
    const { startStep, epochs } = standing;
    const enters = standing.entering[index] === true;
    const isGiven = isGivenSegment(this.#plan, standing, index);
    const from = isGiven ? undefined : enters ? this.#held[0] : startStep;
    if (from === undefined || from === 0) {
      await this.#segment.setState(this.#start());
      this.#best = await this.#segment.state(false);
    } else {
      const commit = await this.#commits?.read(from, this.#census);
      assert(commit, 'a site goes on from a commit that it holds');
      await this.#segment.setState(commit.state);
      // The loss is of an epoch in which the site was there.
      this.#inStudy.training.goOn(enters ? { ...commit, loss: { sum: 0, records: 0 } } : commit);
      this.#best = commit.best;
    }
    if (startStep > 0 && schedule.placeOf(startStep).epoch >= epochs) await this.#segment.setState(this.#best);
    if (enters) onEvent?.({ kind: 'entered', step: startStep });
    else if (startStep > 0) onEvent?.({ kind: 'resumed', step: startStep });
  }

  async #sendWeights(line: Exchange): Promise<void> {
    const final = line.epoch === this.#inStudy.pooled.standing.epochs;
    if (line.chunk === 0) this.#outgoing = final ? this.#best : await this.#segment.state(true);
    await this.#link.send('weights', {
      tensors: this.#outgoing,
      scalars: new Array<number>(line.scalars).fill(this.#inStudy.training.updates),
    });
  }

  async #receiveWeights(): Promise<void> {
    const { message, line } = await this.#link.receive('weights', checkUpdates);
    const { training, pooled, schedule } = this.#inStudy;
    const { epochs, startStep } = pooled.standing;
    if (line.epoch === epochs) {
      for (const { name, tensor: value } of message.tensors) this.#trunk[name] = value;
      return;
    }
    const state = Object.fromEntries(message.tensors.map(({ name, tensor: value }) => [name, value]));
    if (line.epoch < schedule.placeOf(startStep).epoch) {
      // What is selected so far, for a site that enters.
      this.#best = { ...this.#best, ...state };
      return;
    }
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
    const { schedule, pooled } = this.#inStudy;
    await this.#commit(schedule.stepsBefore(line.epoch + 1), best);
    if (line.epoch + 1 === pooled.standing.epochs) await this.#segment.setState(this.#best);
  }

  /** Writes the site's half after so many server steps. */
  async #commit(steps: number, isBest: boolean): Promise<void> {
    if (!this.#commits) return;
    const state = await this.#segment.state(this.#plan.choices.when !== 'detached');
    const { progress } = this.#inStudy.training;
    await this.#commits.write(steps, { state, best: this.#best, ...progress }, isBest, this.#census);
    this.#options.onEvent?.({ kind: 'commit', step: steps });
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
