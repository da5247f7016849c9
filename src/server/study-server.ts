// One study at the server, from the first hello to the last byte: admission, census, training in the study's order, validation and
// selection after each epoch, the test part at the end, and what each party then gets.

import { assert, type Clock, ProtocolError, SeptumError, TimeoutError, TransportError } from '../base/index.ts';
import type { Engine, EngineInfo } from '../engine/index.ts';
import {
  type Census,
  checkPool,
  checkUpdates,
  classCountOf,
  classWeights,
  inChunks,
  meanAndSd,
  type Message,
  partNames,
  type Plan,
  planHash,
  readCensus,
  readReport,
  requireRecords,
  Schedule,
  type ScriptFacts,
  serverKnowsSegment,
  Session,
  type SiteCounts,
  siteScript,
  stateTensors,
} from '../protocol/index.ts';
import { type CompiledStudy, initialState } from '../split/index.ts';
import type { ActivationStore } from '../store/index.ts';
import { float32, type Tensor, tensor } from '../tensor/index.ts';
import type { Listener } from '../transport/index.ts';
import { admit } from './admission.ts';
import { chunksHeld, receiveUpload, trainingPool, trainPoolEpoch } from './detached.ts';
import { Evaluator, type PartMetrics, selects } from './evaluation.ts';
import { replicaScope, trainEpoch } from './orders.ts';
import { ServerSiteLink } from './site-link.ts';
import { COPY, type StepReport, Training } from './training.ts';
import { TrunkRunner } from './trunk-runner.ts';

/** What the server of a study is handed. */
export interface ServerOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly engine: Engine;
  readonly listener: Listener;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How long a study waits for a site that is lost. */
  readonly timeoutMs: number;
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

/** The server's half of a commit. */
export interface ServerCommit {
  readonly epoch: number;
  readonly steps: number;
  readonly engine: EngineInfo;
  readonly history: readonly EpochRecord[];
  readonly bestEpoch: number;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** One epoch in the history. */
export interface EpochRecord {
  readonly epoch: number;
  /** Mean training loss over the epoch's records; null with the labels at the sites until they report it. */
  readonly trainLoss: number | null;
  readonly val: PartMetrics | null;
  readonly best: boolean;
}

export type ServerEvent =
  | { readonly kind: 'listening'; readonly address: string }
  | {
      readonly kind: 'site';
      readonly site: string;
      readonly state: 'connected' | 'lost' | 'refused';
      readonly detail: string;
      /** The error's code where the site's connection ended with one; else ''. */
      readonly code: string;
    }
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

interface Pooled {
  readonly counts: readonly SiteCounts[];
  readonly classes: readonly number[];
  readonly moments: readonly (readonly [number, number])[];
}

export class StudyServer {
  readonly #options: ServerOptions;
  readonly #plan: Plan;
  readonly #facts: ScriptFacts[];
  readonly #links: readonly ServerSiteLink[];
  /** Admission ends with the study, or when the caller's signal says so. */
  readonly #ended = new AbortController();
  readonly #history: EpochRecord[] = [];
  #bestEpoch = -1;
  #best: { trunk: Readonly<Record<string, Tensor>>; segment: Readonly<Record<string, Tensor>> | undefined } = {
    trunk: {},
    segment: undefined,
  };
  #trainMs = 0;
  #records = 0;
  #lossSums: number[] = [];
  #lossRecords = 0;
  #pooledCounts: readonly SiteCounts[] | undefined;

  constructor(options: ServerOptions) {
    const { plan, clock, timeoutMs } = options;
    this.#options = options;
    this.#plan = plan;
    this.#facts = plan.sites.map(() => ({ counts: [], chunksHeld: 0 }));
    const hash = planHash(plan);
    this.#links = plan.sites.map(
      (site, index) =>
        new ServerSiteLink(this.#session(index), {
          site,
          planHash: hash,
          clock,
          timeoutMs,
          inspect: (message) => this.#inspect(index, message),
          onState: (state, detail, code) => options.onEvent?.({ kind: 'site', site, state, detail, code }),
        }),
    );
  }

  /** Runs the study, once. Rejects with TimeoutError when a site stays away, DataError when a site's data do not serve, or the signal's reason. */
  async run(): Promise<ServerResult> {
    const { listener, onEvent, plan, clock, signal } = this.#options;
    const onAbort = () => this.#stop(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    onEvent?.({ kind: 'listening', address: listener.address });
    const admission = admit(listener, {
      plan,
      planHash: planHash(plan),
      links: this.#links,
      clock,
      signal: this.#ended.signal,
      helloTimeoutMs: 10_000,
      restart: (site) => this.#restart(site),
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

  /** Ends all waits with `reason`. The sites are told its words if they are Septum's own; at the server those speak of no record. */
  #stop(reason: unknown): void {
    const words = reason instanceof SeptumError ? reason.message : 'the server was stopped';
    this.#ended.abort(reason);
    for (const link of this.#links) link.stop(reason, new ProtocolError('study-stopped', words));
  }

  async #study(): Promise<ServerResult> {
    const { plan, study, engine, clock } = this.#options;
    const trunk = await TrunkRunner.open(
      engine,
      study,
      plan.choices.segments === 'mirrored' && plan.choices.when === 'live',
    );
    const start = initialState(study.parts.trunk, plan.seed);
    const scopes = plan.choices.trunk === 'averaged' ? plan.sites.map((_, site) => replicaScope(site)) : [''];
    for (const scope of scopes) await trunk.setState(scope, start);
    const { segment, head } = study.parts;
    const copy = { ...initialState(segment, plan.seed), ...(head ? initialState(head, plan.seed) : {}) };
    if (plan.choices.segments === 'mirrored' && plan.choices.when === 'live') await trunk.setState(COPY, copy);

    const pooled = await this.#census();
    const schedule = new Schedule(
      plan,
      pooled.counts.map(({ train }) => train),
    );
    const [mean, sd] = pooled.moments.at(-1) ?? [0, 1];
    const training = new Training({
      plan,
      study,
      links: this.#links,
      trunk,
      schedule,
      counts: pooled.counts,
      classWeights: classWeights(plan.training.classWeights, pooled.classes),
      target: float32([mean, sd]),
      onStep: (report) => this.#step(report),
      logOrder: this.#options.logOrder ?? (async () => undefined),
    });
    training.passed = copy;
    const store = plan.choices.when === 'detached' ? this.#options.activations : undefined;
    assert(store || plan.choices.when !== 'detached', 'detached comes with a store of activations');
    const evaluator = new Evaluator(training, pooled.counts, scopes[0] ?? '', store);

    let waited = 0;
    const detached = store ? await this.#uploads(pooled.counts, store) : undefined;
    for (let epoch = 0; epoch < plan.training.epochs; epoch++) {
      const since = clock.nowMs();
      const waitedAtStart = this.#waitedMs;
      if (detached) await trainPoolEpoch(training, study, detached, epoch);
      else await trainEpoch(training, epoch);
      this.#trainMs += clock.nowMs() - since;
      waited += this.#waitedMs - waitedAtStart;
      await this.#endEpoch(training, evaluator, epoch, scopes[0] ?? '');
    }
    await trunk.setState(scopes[0] ?? '', this.#best.trunk);
    const test = await evaluator.part('test');
    const segments = await this.#handOver(training, trunk);
    const best = this.#history[this.#bestEpoch];
    return {
      counts: Object.fromEntries(plan.sites.map((site, index) => [site, pooled.counts[index] as SiteCounts])),
      val: best?.val ?? null,
      test,
      bestEpoch: this.#bestEpoch,
      history: this.#history,
      trunk: this.#best.trunk,
      segments,
      standardisation: pooled.moments,
      classCounts: pooled.classes,
      ...this.traffic,
      trainSeconds: this.#trainMs / 1000,
      trainRecords: this.#records,
      steps: training.steps,
      waitedMs: waited,
    };
  }

  /** Takes every site's census, adds up, and tells all. */
  async #census(): Promise<Pooled> {
    const plan = this.#plan;
    const classCount = classCountOf(plan);
    const columns = plan.standardisedColumns + 1;
    const classes = new Int32Array(3 * classCount);
    const sums = new Float64Array(3 * columns);
    const counts: SiteCounts[] = [];
    const taken = this.#links.map((): { census?: Census; restarts: number } => ({ restarts: -1 }));
    const absent = () =>
      taken.findIndex(
        ({ restarts }, site) => restarts !== (this.#restarts[site] ?? 0) || !this.#links[site]?.connected,
      );
    for (let site = absent(); site >= 0; site = absent()) taken[site] = await this.#censusOf(site, taken[site]);
    // From here to the next wait all is done at once: a site that starts over comes before it or after it.
    for (const [site, { census }] of taken.entries()) {
      assert(census, 'every site has sent its census');
      requireRecords(plan, site, census.counts.train);
      counts.push(census.counts);
      for (let index = 0; index < classes.length; index++)
        classes[index] = (classes[index] as number) + (census.classes[index] ?? 0);
      for (let index = 0; index < sums.length; index++)
        sums[index] = (sums[index] as number) + (census.sums[index] ?? 0);
    }
    checkPool(plan, counts);
    const tensors = {
      counts: tensor(
        'int32',
        [counts.length, 3],
        Int32Array.from(counts.flatMap(({ train, val, test }) => [train, val, test])),
      ),
      classes: tensor('int32', [3, classCount], classes),
      sums: tensor('float64', [columns, 3], sums),
    };
    this.#pooledCounts = counts;
    this.#pooledTensors = tensors;
    this.#restarts.length = 0;
    await Promise.all(this.#links.map((link, site) => this.#sendPooled(link, site, counts, tensors)));
    const moments = Array.from({ length: columns }, (_, column) => {
      const { mean, sd } = meanAndSd(sums[3 * column] ?? 0, sums[3 * column + 1] ?? 0, sums[3 * column + 2] ?? 0);
      return [mean, sd] as const;
    });
    this.#options.onEvent?.({
      kind: 'counts',
      counts: Object.fromEntries(plan.sites.map((name, site) => [name, counts[site] as SiteCounts])),
      epochs: plan.training.epochs,
      stepsPerEpoch: this.#stepsPerEpoch(counts),
    });
    return { counts, classes: Array.from(classes.subarray(0, classCount)), moments };
  }

  /**
   * A site's census, and how often the site had started over by then; resolves when the site is there. `known` is what was taken
   * before: it holds unless the site has started over since.
   */
  async #censusOf(
    site: number,
    known: { census?: Census; restarts: number } | undefined,
  ): Promise<{ census?: Census; restarts: number }> {
    const link = this.#links[site] as ServerSiteLink;
    for (;;) {
      const restarts = this.#restarts[site] ?? 0;
      try {
        const taken =
          known?.restarts === restarts
            ? known
            : { census: readCensus((await link.receive('census')).message), restarts };
        await link.awaitConnection();
        return taken;
      } catch (error) {
        if ((this.#restarts[site] ?? 0) === restarts) throw error;
      }
    }
  }

  #pooledTensors: Readonly<Record<string, Tensor>> = {};

  async #sendPooled(
    link: ServerSiteLink,
    site: number,
    counts: readonly SiteCounts[],
    tensors: Readonly<Record<string, Tensor>>,
  ): Promise<void> {
    const facts = this.#facts[site] as ScriptFacts;
    facts.counts = counts;
    const { activations } = this.#options;
    const own = counts[site];
    facts.chunksHeld = activations && own ? chunksHeld(this.#plan, site, own, activations) : 0;
    await link.send('pooled', { tensors, scalars: [facts.chunksHeld] });
  }

  #stepsPerEpoch(counts: readonly SiteCounts[]): number {
    const trainCounts = counts.map(({ train }) => train);
    if (this.#plan.choices.when !== 'detached') return new Schedule(this.#plan, trainCounts).serverSteps;
    const pool = trainCounts.reduce((sum, count) => sum + count, 0) * (this.#plan.training.augmentPasses + 1);
    return Math.ceil(pool / this.#plan.training.batch);
  }

  async #uploads(counts: readonly SiteCounts[], store: ActivationStore) {
    const { plan, onEvent } = this.#options;
    await Promise.all(
      this.#links.map(async (_, site) => {
        await (this.#uploading.get(site) ?? this.#upload(site, counts, store));
        onEvent?.({ kind: 'uploaded', site: plan.sites[site] ?? '' });
      }),
    );
    return trainingPool(plan, counts, store);
  }

  /** Uploads that are going on, by site. */
  readonly #uploading = new Map<number, Promise<void>>();

  #upload(site: number, counts: readonly SiteCounts[], store: ActivationStore): Promise<void> {
    const upload = this.#takeUpload(site, counts, store).finally(() => this.#uploading.delete(site));
    this.#uploading.set(site, upload);
    return upload;
  }

  /** One site's upload; a site process that starts over goes on after the chunks that the store holds. */
  async #takeUpload(site: number, counts: readonly SiteCounts[], store: ActivationStore): Promise<void> {
    const link = this.#links[site] as ServerSiteLink;
    for (;;) {
      const restarts = this.#restarts[site] ?? 0;
      try {
        if (restarts > 0) {
          await link.receive('census');
          await this.#sendPooled(link, site, counts, this.#pooledTensors);
        }
        await receiveUpload(this.#plan, link, site, counts[site] as SiteCounts, store);
        return;
      } catch (error) {
        if ((this.#restarts[site] ?? 0) === restarts) throw error;
      }
    }
  }

  readonly #restarts: number[] = [];

  /**
   * A site process that was started again: before all have sent their census it is as any; later it goes on in `detached` only, with its
   * upload, or if that is done waits for the end with the others.
   */
  #restart(site: number): boolean {
    const { activations } = this.#options;
    const counts = this.#pooledCounts;
    const store = this.#plan.choices.when === 'detached' ? activations : undefined;
    if (counts && !store) return false;
    this.#facts[site] = { counts: [], chunksHeld: 0 };
    this.#restarts[site] = (this.#restarts[site] ?? 0) + 1;
    this.#links[site]?.restart(this.#session(site));
    // Whoever waits for this upload sees its failure, if somebody does.
    if (counts && store && !this.#uploading.has(site)) this.#upload(site, counts, store).catch(() => undefined);
    return true;
  }

  /** What the script does not say of a site's messages. Throws ProtocolError. */
  #inspect(site: number, message: Message): void {
    if (message.kind === 'census') readCensus(message);
    if (message.kind === 'report') readReport(message, this.#recordsOf(site, message.part));
    if (message.kind === 'weights') checkUpdates(message);
  }

  #recordsOf(site: number, part: number): number {
    const counts = this.#pooledCounts?.[site];
    const name = partNames[part];
    return counts && name ? counts[name] : 0;
  }

  #session(site: number): Session {
    return new Session('server', siteScript(this.#plan, site, this.#facts[site] as ScriptFacts));
  }

  #step(report: StepReport): void {
    this.#records += report.records;
    if (report.loss !== null) {
      // Replicas train side by side: a sum for each, so that the order in which their steps end changes no bit.
      const replica = this.#plan.choices.trunk === 'averaged' ? (report.siteLosses[0]?.site ?? 0) : 0;
      this.#lossSums[replica] = (this.#lossSums[replica] ?? 0) + report.loss * report.records;
      this.#lossRecords += report.records;
    }
    this.#options.onEvent?.({ kind: 'step', report });
  }

  async #endEpoch(training: Training, evaluator: Evaluator, epoch: number, scope: string): Promise<void> {
    const { plan } = this.#options;
    const val = await evaluator.part('val');
    const best = this.#history[this.#bestEpoch]?.val ?? null;
    const better = plan.training.select === 'last' || this.#bestEpoch < 0 || selects(val, best);
    if (better) {
      this.#bestEpoch = epoch;
      this.#best = {
        trunk: await training.options.trunk.state('trunk', scope, false),
        segment: await this.#knownSegment(training),
      };
    }
    const lossSum = this.#plan.sites.reduce((sum, _, replica) => sum + (this.#lossSums[replica] ?? 0), 0);
    const trainLoss = this.#lossRecords > 0 ? lossSum / this.#lossRecords : (val?.trainLoss ?? null);
    this.#lossSums = [];
    this.#lossRecords = 0;
    const record: EpochRecord = { epoch, trainLoss, val, best: better };
    this.#history.push(record);
    if (plan.choices.when !== 'detached') {
      await Promise.all(
        this.#links.map((link) => link.send('verdict', { scalars: [better ? 1 : 0, val?.overall.loss ?? 0] })),
      );
    }
    this.#options.onEvent?.({ kind: 'epoch', record });
    await this.#commit(training, epoch, scope);
  }

  async #commit(training: Training, epoch: number, scope: string): Promise<void> {
    const { commit, engine } = this.#options;
    if (!commit) return;
    const tensors = {
      ...(await training.options.trunk.state('trunk', scope, true)),
      ...(await this.#knownSegment(training)),
    };
    await commit({
      epoch,
      steps: training.steps,
      engine: engine.info,
      history: this.#history,
      bestEpoch: this.#bestEpoch,
      tensors,
    });
  }

  /** The sites' common segment (and head) as the server knows it, parameters and statistics; undefined with `private`. */
  async #knownSegment(training: Training): Promise<Record<string, Tensor> | undefined> {
    const { plan, study } = this.#options;
    if (!serverKnowsSegment(plan.choices)) return undefined;
    const parts = study.parts.head ? (['segment', 'head'] as const) : (['segment'] as const);
    const mirrored = plan.choices.segments === 'mirrored' && plan.choices.when === 'live';
    const known: Record<string, Tensor> = {};
    for (const part of parts) {
      const layout = training.options.trunk.layout(part);
      if (mirrored) Object.assign(known, await training.options.trunk.state(part, COPY, false));
      else for (const { name } of stateTensors(part, layout, false)) known[name] = training.passed?.[name] as Tensor;
    }
    return known;
  }

  /** Gives the trunk to the sites and takes their segments, as the plan says; waits until the sites have read it. */
  async #handOver(training: Training, trunk: TrunkRunner): Promise<Record<string, Readonly<Record<string, Tensor>>>> {
    const plan = this.#plan;
    const segments: Record<string, Readonly<Record<string, Tensor>>> = {};
    if (this.#best.segment) segments[''] = this.#best.segment;
    const mayLeave = plan.choices.when === 'detached';
    const handOverTo = async (link: ServerSiteLink, site: number): Promise<void> => {
      if (plan.trunkToSites) {
        for (const _ of inChunks(stateTensors('trunk', trunk.layout('trunk'), false))) {
          await link.send('weights', { tensors: this.#best.trunk, scalars: [training.steps] }, mayLeave);
        }
      }
      if (plan.segmentsToServer && !serverKnowsSegment(plan.choices)) {
        segments[plan.sites[site] ?? ''] = (await training.receiveSegment(site, false, mayLeave)).state;
      }
      await link.send('finish', {}, mayLeave);
      await link.drain(Math.min(30_000, this.#options.timeoutMs));
    };
    await Promise.all(
      this.#links.map((link, site) => (mayLeave ? this.#whileThere(link, site, handOverTo) : handOverTo(link, site))),
    );
    return segments;
  }

  /** `detached`: `work` with a site, from the start again if the site starts over, and not at all if it has left. */
  async #whileThere(
    link: ServerSiteLink,
    site: number,
    work: (link: ServerSiteLink, site: number) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      const restarts = this.#restarts[site] ?? 0;
      try {
        await this.#uploading.get(site);
        if (!link.isNear) return;
        return await work(link, site);
      } catch (error) {
        if ((this.#restarts[site] ?? 0) !== restarts) continue;
        if (error instanceof TimeoutError) return;
        throw error;
      }
    }
  }

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    return {
      bytesUp: this.#links.reduce((sum, link) => sum + link.bytesReceived, 0),
      bytesDown: this.#links.reduce((sum, link) => sum + link.bytesSent, 0),
    };
  }

  get #waitedMs(): number {
    return this.#links.reduce((sum, link) => sum + link.waitedMs, 0);
  }
}
