// One study at the server, from the first hello to the last byte: admission, census, training in the study's order, validation and
// selection after each epoch, the test part at the end, and what each party then gets.

import { assert, type Clock, TransportError } from '../base/index.ts';
import type { Engine } from '../engine/index.ts';
import { classWeights, type Plan, planHash, Schedule, type SiteCounts } from '../protocol/index.ts';
import { type CompiledStudy, initialState } from '../split/index.ts';
import type { ActivationStore } from '../store/index.ts';
import { float32, type Tensor } from '../tensor/index.ts';
import type { Listener } from '../transport/index.ts';
import { admit } from './admission.ts';
import { stepsOfEpoch, takeCensuses } from './census.ts';
import { type Pool, trainingPool, trainPoolEpoch } from './detached.ts';
import { type EpochRecord, Epochs, type ServerCommit, TrainingLoss } from './epochs.ts';
import { Evaluator, type PartMetrics } from './evaluation.ts';
import type { Gate } from './gate.ts';
import { handOver } from './hand-over.ts';
import { replicaScope, trainEpoch } from './orders.ts';
import { type Pooled, StudySites } from './study-sites.ts';
import { COPY, type StepReport, Training } from './training.ts';
import { TrunkRunner } from './trunk-runner.ts';
import { Uploads } from './uploads.ts';

/** What the server of a study is handed. */
export interface ServerOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly engine: Engine;
  readonly listener: Listener;
  /** Who may come in; without it, whoever says a site's name. */
  readonly gate?: Gate | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How long a study waits for a site that is lost. */
  readonly timeoutMs: number;
  /** How long a study waits for a site that has not connected yet. Default: until it comes, or `signal` aborts. */
  readonly joinTimeoutMs?: number | undefined;
  /**
   * How long a study waits for the next message of a site that is connected and has all that it needs for it: at least the longest step
   * that a site computes. Then it loses its connection, and if it comes back and is silent again the study ends. Default: ten minutes,
   * or `timeoutMs` if that is longer.
   */
  readonly silenceTimeoutMs?: number | undefined;
  /** `detached`: where activations are kept. */
  readonly activations?: ActivationStore;
  readonly logOrder?: (entry: {
    readonly epoch: number;
    readonly site: number;
    readonly step: number;
  }) => Promise<void>;
  /** Called at the end of each epoch with the server's half of the study's state. */
  readonly commit?: (commit: ServerCommit) => Promise<void>;
  readonly onEvent?: (event: ServerEvent) => void;
}

export type ServerEvent =
  | { readonly kind: 'listening'; readonly address: string }
  | {
      readonly kind: 'site';
      readonly site: string;
      readonly state: 'connected' | 'left' | 'lost' | 'refused';
      readonly detail: string;
      /** The error's code where the site's connection ended with one; else ''. */
      readonly code: string;
    }
  | { readonly kind: 'enrolled'; readonly remote: string; readonly site: string }
  | { readonly kind: 'refused'; readonly remote: string; readonly reason: string; readonly code: string }
  | {
      readonly kind: 'counts';
      readonly counts: Readonly<Record<string, SiteCounts>>;
      readonly epochs: number;
      readonly stepsPerEpoch: number;
    }
  | { readonly kind: 'step'; readonly report: StepReport }
  | { readonly kind: 'uploaded'; readonly site: string }
  | { readonly kind: 'epoch'; readonly record: EpochRecord };

/** What the server has at the end. */
export interface ServerResult {
  readonly counts: Readonly<Record<string, SiteCounts>>;
  readonly val: PartMetrics | null;
  readonly test: PartMetrics | null;
  readonly bestEpoch: number;
  readonly history: readonly EpochRecord[];
  /** The selected trunk's parameters and statistics by tensor name. */
  readonly trunk: Readonly<Record<string, Tensor>>;
  /** The selected segment (and head) by site name, or under '' where there is one for all; absent where only the sites know it. */
  readonly segments: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
  /** [mean, sd] of each standardised input column, and of the regression target last. */
  readonly standardisation: readonly (readonly [number, number])[];
  readonly classCounts: readonly number[];
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Seconds from the first to the last training step, validation left out. */
  readonly trainSeconds: number;
  readonly trainRecords: number;
  readonly steps: number;
  /** Milliseconds in which the server waited for sites' messages, over the training. */
  readonly waitedMs: number;
}

/** No honest batch takes longer, on the slowest machine; longer ones are allowed for by a longer `timeoutMs`. */
const silenceMsLeast = 600_000;

/** The network as it starts, at the server's engine. */
interface Start {
  readonly trunk: TrunkRunner;
  /** The trunk's scope, or each replica's. The first is evaluated and selected: after an average all are alike. */
  readonly scopes: readonly string[];
  /** Segment (and head) as the study's seed starts them. */
  readonly copy: Readonly<Record<string, Tensor>>;
}

export class StudyServer {
  readonly #options: ServerOptions;
  readonly #sites: StudySites;
  readonly #uploads: Uploads | undefined;
  readonly #loss: TrainingLoss;
  /** Admission ends with the study, or when the caller's signal says so. */
  readonly #ended = new AbortController();
  #hasCommit = false;
  #trainMs = 0;
  #trainRecords = 0;
  #waitedMs = 0;

  constructor(options: ServerOptions) {
    const { plan, clock, timeoutMs, joinTimeoutMs, activations, onEvent } = options;
    const { silenceTimeoutMs = Math.max(silenceMsLeast, timeoutMs) } = options;
    assert(activations || plan.choices.when !== 'detached', 'detached comes with a store of activations');
    this.#options = options;
    this.#sites = new StudySites({
      plan,
      clock,
      timeoutMs,
      joinTimeoutMs,
      silenceTimeoutMs,
      hasCommit: () => this.#hasCommit,
      onState: (site, state, detail, code) => onEvent?.({ kind: 'site', site, state, detail, code }),
    });
    if (activations && plan.choices.when === 'detached') this.#uploads = new Uploads(plan, this.#sites, activations);
    this.#loss = new TrainingLoss(plan.sites.length, plan.choices.trunk === 'averaged');
  }

  /** Runs the study, once. Rejects with TimeoutError when a site stays away, DataError when a site's data do not serve, or the signal's reason. */
  async run(): Promise<ServerResult> {
    const { listener, gate, onEvent, plan, clock, signal } = this.#options;
    const onAbort = () => this.#stop(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    onEvent?.({ kind: 'listening', address: listener.address });
    const admission = admit(listener, {
      plan,
      planHash: planHash(plan),
      links: this.#sites.links,
      gate,
      clock,
      signal: this.#ended.signal,
      helloTimeoutMs: 10_000,
      restart: (site) => this.#restart(site),
      onEnrolled: (remote, site) => onEvent?.({ kind: 'enrolled', remote, site }),
      onRefused: (remote, reason, code) => onEvent?.({ kind: 'refused', remote, reason, code }),
    }).catch(() => undefined); // It ends with the listener or the signal.
    try {
      const result = await this.#study();
      this.#stop(new TransportError('closed', 'the study is over'));
      return result;
    } catch (error) {
      this.#stop(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      await listener.close();
      await admission;
    }
  }

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    return this.#sites.traffic;
  }

  #stop(reason: unknown): void {
    this.#ended.abort(reason);
    this.#sites.stop(reason);
  }

  /**
   * A site process that was started again: before all have sent their census it is as any; later it goes on in `detached` only, with its
   * upload, or if that is done waits for the end with the others.
   */
  #restart(site: number): boolean {
    const { pooled } = this.#sites;
    if (pooled && !this.#uploads) return false;
    this.#sites.startOver(site);
    if (pooled) this.#uploads?.takeAgain(site, pooled);
    return true;
  }

  async #study(): Promise<ServerResult> {
    const { engine, commit, onEvent, timeoutMs } = this.#options;
    const start = await this.#start();
    const pooled = await this.#census();
    const training = this.#training(start, pooled);
    const { trunk } = start;
    const scope = start.scopes[0] ?? '';
    const evaluator = new Evaluator(training, pooled.counts, scope, this.#store);
    const epochs = new Epochs({
      training,
      evaluator,
      scope,
      loss: this.#loss,
      engine,
      commit:
        commit &&
        (async (half) => {
          await commit(half);
          this.#hasCommit = true;
        }),
      onEpoch: (record) => onEvent?.({ kind: 'epoch', record }),
    });
    await this.#train(training, epochs, await this.#upload(pooled));
    const { selected, history } = epochs;
    await trunk.setState(scope, selected.trunk);
    const test = await evaluator.part('test');
    const segments = await handOver({ sites: this.#sites, training, selected, timeoutMs, uploads: this.#uploads });
    return {
      counts: this.#byName(pooled.counts),
      val: history[selected.epoch]?.val ?? null,
      test,
      bestEpoch: selected.epoch,
      history,
      trunk: selected.trunk,
      segments,
      standardisation: pooled.moments,
      classCounts: pooled.classes,
      ...this.traffic,
      trainSeconds: this.#trainMs / 1000,
      trainRecords: this.#trainRecords,
      steps: training.steps,
      waitedMs: this.#waitedMs,
    };
  }

  async #start(): Promise<Start> {
    const { plan, study, engine } = this.#options;
    const mirrored = plan.choices.segments === 'mirrored' && plan.choices.when === 'live';
    const trunk = await TrunkRunner.open(engine, study, mirrored);
    const state = initialState(study.parts.trunk, plan.seed);
    const scopes = plan.choices.trunk === 'averaged' ? plan.sites.map((_, site) => replicaScope(site)) : [''];
    for (const scope of scopes) await trunk.setState(scope, state, { transfer: scopes.length === 1 });
    const { segment, head } = study.parts;
    const copy = { ...initialState(segment, plan.seed), ...(head ? initialState(head, plan.seed) : {}) };
    if (mirrored) await trunk.setState(COPY, copy);
    return { trunk, scopes, copy };
  }

  async #census(): Promise<Pooled> {
    const { plan, onEvent } = this.#options;
    const pooled = await takeCensuses(plan, this.#sites, (site, all) => this.#uploads?.chunksHeld(site, all) ?? 0);
    onEvent?.({
      kind: 'counts',
      counts: this.#byName(pooled.counts),
      epochs: plan.training.epochs,
      stepsPerEpoch: stepsOfEpoch(plan, pooled.counts),
    });
    return pooled;
  }

  #training({ trunk, copy }: Start, pooled: Pooled): Training {
    const { plan, study, logOrder, onEvent } = this.#options;
    const [mean, sd] = pooled.moments.at(-1) ?? [0, 1];
    const training = new Training({
      plan,
      study,
      links: this.#sites.links,
      trunk,
      schedule: new Schedule(
        plan,
        pooled.counts.map(({ train }) => train),
      ),
      counts: pooled.counts,
      classWeights: classWeights(plan.training.classWeights, pooled.classes),
      target: float32([mean, sd]),
      onStep: (report) => {
        this.#trainRecords += report.records;
        this.#loss.add(report);
        onEvent?.({ kind: 'step', report });
      },
      logOrder: logOrder ?? (async () => undefined),
    });
    training.passed = copy;
    return training;
  }

  /** `detached`: the pool of all sites' activations, once they are uploaded; else undefined. */
  async #upload(pooled: Pooled): Promise<Pool | undefined> {
    const { plan, onEvent } = this.#options;
    if (!this.#uploads || !this.#store) return undefined;
    await this.#uploads.takeAll(pooled, (site) => onEvent?.({ kind: 'uploaded', site: plan.sites[site] ?? '' }));
    return trainingPool(plan, pooled.counts, this.#store);
  }

  async #train(training: Training, epochs: Epochs, pool: Pool | undefined): Promise<void> {
    const { plan, study, clock } = this.#options;
    for (let epoch = 0; epoch < plan.training.epochs; epoch++) {
      const since = clock.nowMs();
      const waitedAtStart = this.#sites.waitedMs;
      if (pool) await trainPoolEpoch(training, study, pool, epoch);
      else await trainEpoch(training, epoch);
      this.#trainMs += clock.nowMs() - since;
      this.#waitedMs += this.#sites.waitedMs - waitedAtStart;
      await epochs.end(epoch);
    }
  }

  /** `detached`: where activations are kept. */
  get #store(): ActivationStore | undefined {
    return this.#uploads && this.#options.activations;
  }

  #byName(counts: readonly SiteCounts[]): Readonly<Record<string, SiteCounts>> {
    return Object.fromEntries(this.#options.plan.sites.map((site, index) => [site, counts[index] as SiteCounts]));
  }
}
