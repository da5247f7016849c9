// A study at the server from its start, or from a commit, to its end or until it has to go back: the sites' sessions, training in the
// study's order, validation and selection after each epoch, the test part at the end, and what each party then gets.

import { DataError, TransportError } from '../base/index.ts';
import { changeOfEngine } from '../engine/index.ts';
import { classWeights, isGivenSegment, type Standing, wholeStanding } from '../protocol/index.ts';
import type { ActivationStore } from '../store/index.ts';
import { float32, type Tensor } from '../tensor/index.ts';
import { begin, type Begun, countsByName } from './beginning.ts';
import { stepsOfEpoch } from './census.ts';
import { commitTensors, pooledIn, selectedIn, stateIn } from './commit-tensors.ts';
import type { Figures, ServerCommit, ServerCommits } from './commits.ts';
import { type Pool, trainingPool, trainPoolEpoch } from './detached.ts';
import { Epochs, knownSegment, TrainingLoss } from './epochs.ts';
import { Evaluator } from './evaluation.ts';
import { GoingBack } from './going-back.ts';
import { HandOver, type HandOverState } from './hand-over.ts';
import { trainEpoch } from './orders.ts';
import type { ServerOptions, ServerResult } from './study-server.ts';
import { type Pooled, StudySites } from './study-sites.ts';
import { COPY, hasCopy, Training } from './training.ts';
import type { TrunkRunner } from './trunk-runner.ts';
import { Uploads } from './uploads.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** A commit within an epoch is written after so long. */
const usualCommitEveryMs = 60_000;

/** The server's part of the network at its engine. */
export interface Network {
  readonly trunk: TrunkRunner;
  /** The trunk's scope, or each replica's. The first is evaluated and selected: after an average all are alike. */
  readonly scopes: readonly string[];
  /** Trunk and segment (and head) as the study's seed starts them, made anew. */
  readonly start: () => { readonly trunk: Tensors; readonly segment: Tensors };
}

export interface CourseOptions extends Omit<ServerOptions, 'commits'> {
  /** Loads it, once. */
  readonly network: () => Promise<Network>;
  readonly commits: ServerCommits | undefined;
  /** How long the study waits for a site that has not connected yet. */
  readonly joinTimeoutMs: number | undefined;
  readonly silenceTimeoutMs: number;
  readonly handOverTimeoutMs: number;
  /** Bytes of the courses before this one. */
  readonly traffic: { readonly bytesUp: number; readonly bytesDown: number };
  /** Told where the study goes on, once that is known. */
  readonly onStart: (start: ServerCommit | undefined) => void;
  /** Sites that were waited for in vain. */
  readonly away: ReadonlySet<number>;
  readonly orders: Orders;
}

/** What the study lead and the sites' operators have asked for. */
export interface Orders {
  /** Resolves when the study is not paused, or is to end. */
  readonly mayGoOn: () => Promise<void>;
  /** The study is to stand still after its next commit, which is written as soon as can be. */
  readonly isPausing: () => boolean;
  /** The study is to end with what it has. */
  readonly isStopping: () => boolean;
  /** The site takes no part any more. */
  readonly withdrawn: (site: number) => boolean;
}

export class Course {
  readonly #options: CourseOptions;
  readonly #uploads: Uploads | undefined;
  readonly #loss: TrainingLoss;
  readonly sites: StudySites;
  #training: Training | undefined;
  #trainMs = 0;
  #trainRecords = 0;
  #waitedMs = 0;
  #startedAt = 0;
  /** Once the study is at its end, and cannot go back. */
  #handOver: HandOver | undefined;
  /** The newest commit. */
  #committed: number | undefined;
  #committedMs: number;

  constructor(options: CourseOptions) {
    const { plan, clock, timeoutMs, joinTimeoutMs, silenceTimeoutMs, activations, orders, onEvent } = options;
    this.#options = options;
    this.#committedMs = clock.nowMs();
    this.sites = new StudySites({
      plan,
      clock,
      timeoutMs,
      joinTimeoutMs,
      silenceTimeoutMs,
      hasCommit: () => this.#committed !== undefined,
      hasUploaded: (site) => this.#uploads?.isComplete(site) ?? false,
      withdrawn: orders.withdrawn,
      onState: (site, state, detail, code) => onEvent?.({ kind: 'site', site, state, detail, code }),
    });
    if (activations && plan.choices.when === 'detached')
      this.#uploads = new Uploads({
        plan,
        sites: this.sites,
        store: activations,
        onUploaded: (site) => onEvent?.({ kind: 'uploaded', site: this.#name(site) }),
        onRefused: (site, why) => this.#warn(`site ${this.#name(site)} takes no part: ${why}`),
      });
    this.#loss = new TrainingLoss(plan.sites.length, plan.choices.trunk === 'averaged');
  }

  /** Server steps that are made, those before the commit included. */
  get steps(): number {
    return this.#training?.steps ?? 0;
  }

  /** Whether it has written a commit. */
  get isFurther(): boolean {
    return this.#committed !== undefined && this.#committed > this.#startedAt;
  }

  /** Whether its results are kept, or about to be: it cannot go back. */
  get isOver(): boolean {
    return this.#handOver !== undefined;
  }

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    const { traffic } = this.#options;
    const { bytesUp, bytesDown } = this.sites.traffic;
    return { bytesUp: traffic.bytesUp + bytesUp, bytesDown: traffic.bytesDown + bytesDown };
  }

  /**
   * A site process that was started again. Before all have sent their census, where it does not take part, or when the study is over, it
   * is as any, and so it is in `detached`: it goes on with its upload, or if that is done waits for the end with the others. Else gives
   * false: the study has to go back to a commit for it.
   */
  restart(site: number): boolean {
    const isInTraining = this.sites.pooled !== undefined && this.sites.isMember(site) && !this.isOver;
    if (isInTraining && !this.#uploads) return false;
    this.sites.startOver(site);
    return true;
  }

  /** Ends all waits with `reason`. */
  stop(reason: unknown, mayReturn: 'never' | 'anew' = 'never'): void {
    this.sites.stop(reason, mayReturn);
  }

  /** Runs the study to its end. When it settles, nothing of it uses the engine any more. */
  async run(): Promise<ServerResult> {
    try {
      const result = await this.#run();
      this.stop(new TransportError('closed', 'the study is over'));
      return result;
    } catch (error) {
      this.stop(error, error instanceof GoingBack ? 'anew' : 'never');
      await this.#training?.quiet;
      throw error;
    } finally {
      await this.#uploads?.quiet();
    }
  }

  async #run(): Promise<ServerResult> {
    const { plan, orders, keep, onEvent } = this.#options;
    await orders.mayGoOn();
    this.sites.throwIfStopped();
    // The sites come, and the commit is read, while the graphs are loaded.
    const [network, begun] = await Promise.all([
      this.#options.network(),
      begin({ ...this.#options, sites: this.sites, uploads: this.#uploads }),
    ]);
    const { pooled, standing, start } = begun;
    const scope = network.scopes[0] ?? '';
    const commit = (isEpochEnd: boolean): Promise<void> => this.#commit(training, epochs, begun, { scope, isEpochEnd });
    const training: Training = this.#trainingOf(begun, network, () => commit(false));
    this.#training = training;
    const evaluator = new Evaluator(training, pooled.counts, scope, this.#store);
    const epochs: Epochs = new Epochs({
      training,
      evaluator,
      scope,
      loss: this.#loss,
      commit: () => commit(true),
      onEpoch: (record) => onEvent?.({ kind: 'epoch', record }),
    });
    await this.#restore(training, epochs, network, start);
    await this.#giveSegment(training, epochs, begun);
    const pool = await this.#upload(begun, commit);
    await this.#train(training, epochs, pool, begun);
    const { selected, history } = epochs;
    await network.trunk.setState(scope, selected.trunk);
    const test = await evaluator.part('test');
    this.#uploads?.end();
    const handOver = this.#handOverOf(pooled, this.#atTheEnd(begun, training.steps), selected.trunk, training.steps);
    const segments = await handOver.exchange(training, selected.segment);
    this.sites.throwIfStopped();
    this.#handOver = handOver;
    const result: ServerResult = {
      counts: countsByName(plan, pooled.counts),
      val: history[selected.epoch]?.val ?? null,
      test,
      bestEpoch: selected.epoch,
      history,
      stoppedEarly: standing.epochs < plan.training.epochs,
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
    await keep?.(result, this.#named(handOver.sites));
    // Who has left a `detached` study after its upload need not come again.
    await handOver.finish(handOver.sites.filter((site) => !this.#uploads || this.sites.link(site).isNear));
    return { ...result, ...this.traffic };
  }

  /** Serves the end of a study whose results are kept to these sites. Throws DataError without a commit of its end. */
  async runOver(awaited: readonly string[]): Promise<void> {
    const { plan, commits, orders } = this.#options;
    const end = await commits?.newest(
      () => true,
      (text) => this.#warn(text),
    );
    if (!end) throw new DataError('missing-data', `study ${plan.study} is over, and has no commit of its end`);
    const pooled = pooledIn(end, plan);
    const { present, base, history } = end;
    const standing = this.#overStanding({ startStep: end.steps, epochs: history.length, base, present });
    this.sites.settle(pooled, present);
    this.#handOver = this.#handOverOf(pooled, standing, selectedIn(end, plan).trunk, end.steps);
    this.sites.throwIfStopped();
    const { sites } = this.#handOver;
    await this.#handOver.finish(sites.filter((site) => !orders.withdrawn(site) && awaited.includes(this.#name(site))));
  }

  #handOverOf(pooled: Pooled, standing: Standing, trunk: Tensors, steps: number): HandOver {
    const { plan, clock, handOverTimeoutMs, onEvent } = this.#options;
    const onState = (site: string, state: HandOverState) => onEvent?.({ kind: 'hand-over', site, state });
    const about = { pooled, standing, trunk, steps, timeoutMs: handOverTimeoutMs };
    return new HandOver({ ...about, plan, clock, sites: this.sites, uploads: this.#uploads, onState });
  }

  /** The standing of a study after its last step. A site that was lost after the last commit has all that it needs too. */
  #atTheEnd({ standing, start }: Begun, steps: number): Standing {
    const { epochs, base } = standing;
    const had = start?.steps === steps ? start.present : [];
    const present = standing.present.map((is, site) => is || had[site] === true);
    return this.#overStanding({ startStep: steps, epochs, base, present });
  }

  #overStanding(at: Pick<Standing, 'startStep' | 'epochs' | 'base' | 'present'>): Standing {
    const { plan } = this.#options;
    const whole = wholeStanding(plan);
    // Where the server stands is nothing to the sites of a `detached` study.
    const { startStep, base } = plan.choices.when === 'detached' ? whole : at;
    return { ...whole, ...at, startStep, base, isOver: true };
  }

  #name(site: number): string {
    return this.#options.plan.sites[site] ?? '';
  }

  #named(sites: readonly number[]): readonly string[] {
    return sites.map((site) => this.#name(site));
  }

  /** The sites that enter get the segment as it stands, and the selected one. */
  async #giveSegment(training: Training, { selected }: Epochs, { standing }: Begun): Promise<void> {
    const { plan } = this.#options;
    const entering = this.sites.members.filter((site) => isGivenSegment(plan, standing, site));
    if (entering.length === 0) return;
    const current = (await knownSegment(training, true)) ?? {};
    await Promise.all(
      entering.map(async (site) => {
        await training.sendState(site, current, training.segmentUpdates, true);
        if (selected.epoch >= 0) await training.sendState(site, selected.segment ?? {}, training.segmentUpdates, false);
      }),
    );
  }

  #trainingOf({ pooled, schedule }: Begun, { trunk }: Network, commit: () => Promise<void>): Training {
    const { plan, study, orders, logOrder, onEvent } = this.#options;
    const { commits, clock, commitEveryMs = usualCommitEveryMs } = this.#options;
    const [mean, sd] = pooled.moments.at(-1) ?? [0, 1];
    return new Training({
      plan,
      study,
      links: this.sites.links,
      trunk,
      schedule,
      counts: pooled.counts,
      classWeights: classWeights(plan.training.classWeights, pooled.classes),
      target: float32([mean, sd]),
      commitIsDue: () =>
        commits !== undefined && (orders.isPausing() || clock.nowMs() - this.#committedMs >= commitEveryMs),
      commit,
      onStep: (report) => {
        this.#trainRecords += report.records;
        this.#loss.add(report);
        onEvent?.({ kind: 'step', report });
      },
      logOrder: logOrder ?? (async () => undefined),
    });
  }

  /** Puts the state of a commit, or of the start, at the engine and everywhere else. */
  async #restore(
    training: Training,
    epochs: Epochs,
    { trunk, scopes, start }: Network,
    commit: ServerCommit | undefined,
  ): Promise<void> {
    const { plan, engine } = this.#options;
    const state = commit ? stateIn(commit, plan) : start();
    const selected = commit && selectedIn(commit, plan);
    // What nobody else holds goes to the engine without a copy: a large trunk takes long to copy.
    const held = new Set(Object.values(selected?.trunk ?? {}));
    const [own, shared]: [Record<string, Tensor>, Record<string, Tensor>] = [{}, {}];
    for (const [name, value] of Object.entries(state.trunk))
      (scopes.length > 1 || held.has(value) ? shared : own)[name] = value;
    for (const scope of scopes) {
      await trunk.setState(scope, own, { transfer: true });
      await trunk.setState(scope, shared);
    }
    if (hasCopy(plan)) await trunk.setState(COPY, state.segment);
    training.passed = state.segment;
    if (!commit || !selected) return;
    this.#startedAt = this.#committed = commit.steps;
    training.goOn(commit, state.segment);
    this.#loss.goOn(commit.loss);
    epochs.goOn(commit.history, selected);
    const { trainMs, trainRecords, waitedMs } = commit.figures;
    [this.#trainMs, this.#trainRecords, this.#waitedMs] = [trainMs, trainRecords, waitedMs];
    const change = changeOfEngine(commit.engine, engine.info);
    if (change !== undefined) this.#warn(change);
  }

  /** `detached`: the pool of all sites' activations, once they are uploaded; else undefined. */
  async #upload(
    { pooled, standing, start }: Begun,
    commit: (isEpochEnd: boolean) => Promise<void>,
  ): Promise<Pool | undefined> {
    const { plan } = this.#options;
    if (!this.#uploads || !this.#store) return undefined;
    const isFirst = standing.startStep === 0;
    // By what is pooled the activations are made: it is kept before any of them is. Who was gone on without is late from here on.
    if (isFirst && start?.present.join() !== standing.present.join()) await commit(false);
    const isNew = await this.#uploads.takeAll(!start);
    if (isFirst && isNew) await commit(true);
    return trainingPool(plan, pooled.counts, this.sites.members, this.#store);
  }

  async #train(
    training: Training,
    epochs: Epochs,
    pool: Pool | undefined,
    { schedule, standing }: Begun,
  ): Promise<void> {
    const { plan, study, clock } = this.#options;
    const check = () => this.sites.throwIfStopped();
    const stepsPerEpoch = stepsOfEpoch(plan, schedule);
    const before = (epoch: number): number => standing.base.steps + (epoch - standing.base.epoch) * stepsPerEpoch;
    for (let epoch = epochs.history.length; epoch < standing.epochs; epoch++) {
      const since = clock.nowMs();
      const waitedAtStart = this.sites.waitedMs;
      const stepsBefore = before(epoch);
      const firstStep = Math.max(0, training.steps - stepsBefore);
      const totalSteps = before(plan.training.epochs);
      if (pool) await trainPoolEpoch(training, study, pool, { epoch, firstStep, stepsBefore, totalSteps, check });
      else await trainEpoch(training, epoch, firstStep);
      training.passTo(before(epoch + 1));
      this.#trainMs += clock.nowMs() - since;
      this.#waitedMs += this.sites.waitedMs - waitedAtStart;
      await epochs.end(epoch);
    }
  }

  /** Writes the server's half of the study's state. */
  async #commit(
    training: Training,
    epochs: Epochs,
    { pooled, standing, schedule }: Begun,
    about: { readonly scope: string; readonly isEpochEnd: boolean },
  ): Promise<void> {
    const { commits, engine, clock, orders, onEvent } = this.#options;
    if (!commits) return;
    const { selected, history } = epochs;
    const { steps, updates, passedUpdates } = training;
    await commits.write({
      steps,
      engine: engine.info,
      history: [...history],
      bestEpoch: selected.epoch,
      updates,
      passedUpdates,
      loss: this.#loss.state,
      figures: this.#figures(),
      present: standing.present,
      base: standing.base,
      tensors: await commitTensors(training, epochs, pooled, about),
    });
    this.#committed = steps;
    this.#committedMs = clock.nowMs();
    onEvent?.({ kind: 'commit', step: steps });
    if (history.length >= standing.epochs) return;
    if (orders.isPausing()) throw new GoingBack('the study was paused');
    // One whose records are not counted yet, or not in the pool, changes the steps of the epochs: it enters between two.
    const { sites } = this;
    const uploads = this.#uploads;
    const enters = uploads
      ? (one: number) => about.isEpochEnd && !sites.isMember(one) && uploads.isComplete(one)
      : (one: number) => sites.isAtTheDoor(one) && (about.isEpochEnd || (schedule.counts[one] as number) > 0);
    const site = sites.left.find(enters);
    if (site !== undefined) throw new GoingBack(`site ${this.#name(site)} enters`);
  }

  #figures(): Figures {
    return {
      trainMs: this.#trainMs,
      trainRecords: this.#trainRecords,
      waitedMs: this.#waitedMs,
      ...this.traffic,
    };
  }

  #warn(text: string): void {
    this.#options.onEvent?.({ kind: 'warning', text });
  }

  /** `detached`: where activations are kept. */
  get #store(): ActivationStore | undefined {
    return this.#uploads && this.#options.activations;
  }
}
