// A study at the server from its start, or from a commit, to its end or until it has to go back: the sites' sessions, training in the
// study's order, validation and selection after each epoch, the test part at the end, and what each party then gets.

import { DataError, ProtocolError } from '../base/index.ts';
import { changeOfEngine } from '../engine/index.ts';
import { classWeights, mayStartAt, type Plan, Schedule, type SiteCounts } from '../protocol/index.ts';
import type { ActivationStore } from '../store/index.ts';
import { bytesOf, float32, type Tensor } from '../tensor/index.ts';
import { stepsOfEpoch, takeCensuses } from './census.ts';
import { commitTensors, pooledIn, selectedIn, stateIn } from './commit-tensors.ts';
import type { Figures, ServerCommit, ServerCommits } from './commits.ts';
import { type Pool, trainingPool, trainPoolEpoch } from './detached.ts';
import { Epochs, TrainingLoss } from './epochs.ts';
import { Evaluator } from './evaluation.ts';
import { handOver } from './hand-over.ts';
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
  readonly network: Promise<Network>;
  readonly commits: ServerCommits | undefined;
  /** How long the study waits for a site that has not connected yet. */
  readonly joinTimeoutMs: number | undefined;
  readonly silenceTimeoutMs: number;
  /** Bytes of the courses before this one. */
  readonly traffic: { readonly bytesUp: number; readonly bytesDown: number };
  /** Told where the study goes on, once that is known. */
  readonly onStart: (start: ServerCommit | undefined) => void;
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
  /** The newest commit. */
  #committed: number | undefined;
  #committedMs: number;

  constructor(options: CourseOptions) {
    const { plan, clock, timeoutMs, joinTimeoutMs, silenceTimeoutMs, activations, onEvent } = options;
    this.#options = options;
    this.#committedMs = clock.nowMs();
    this.sites = new StudySites({
      plan,
      clock,
      timeoutMs,
      joinTimeoutMs,
      silenceTimeoutMs,
      hasCommit: () => this.#committed !== undefined,
      onState: (site, state, detail, code) => onEvent?.({ kind: 'site', site, state, detail, code }),
    });
    if (activations && plan.choices.when === 'detached') this.#uploads = new Uploads(plan, this.sites, activations);
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

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    const { traffic } = this.#options;
    const { bytesUp, bytesDown } = this.sites.traffic;
    return { bytesUp: traffic.bytesUp + bytesUp, bytesDown: traffic.bytesDown + bytesDown };
  }

  /**
   * A site process that was started again. Before all have sent their census it is as any, and in `detached` it goes on with its upload,
   * or if that is done waits for the end with the others. Else gives false: the study has to go back to a commit for it. Throws
   * ProtocolError when it cannot, because others have left.
   */
  restart(site: number): boolean {
    const { pooled } = this.sites;
    if (pooled && !this.#uploads) {
      if (this.sites.links.some((link) => link.hasEverything))
        throw new ProtocolError('study-stopped', 'the study is over, and other sites have left: it cannot go back');
      return false;
    }
    this.sites.startOver(site);
    if (pooled) this.#uploads?.takeAgain(site, pooled);
    return true;
  }

  /** Ends all waits with `reason`. */
  stop(reason: unknown, mayReturn: 'never' | 'anew' = 'never'): void {
    this.sites.stop(reason, mayReturn);
  }

  /** Runs the study to its end. When it settles, nothing of it uses the engine any more. */
  async run(): Promise<ServerResult> {
    try {
      return await this.#run();
    } catch (error) {
      this.stop(error);
      await this.#training?.quiet;
      throw error;
    }
  }

  async #run(): Promise<ServerResult> {
    const { plan, timeoutMs, onEvent } = this.#options;
    // The sites come, and the commit is read, while the graphs are loaded.
    const [network, { pooled, start }] = await Promise.all([
      this.#options.network,
      this.#uploads ? this.#beginDetached(this.#uploads) : this.#beginLive(),
    ]);
    const scope = network.scopes[0] ?? '';
    const commit = (isEpochEnd: boolean): Promise<void> =>
      this.#commit(training, epochs, pooled, { scope, isEpochEnd });
    const training: Training = this.#trainingOf(pooled, network, () => commit(false));
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
    const pool = await this.#upload(pooled, start);
    if (pool && !start) await commit(false);
    await this.#train(training, epochs, pool);
    const { selected, history } = epochs;
    await network.trunk.setState(scope, selected.trunk);
    const test = await evaluator.part('test');
    const segments = await handOver({ sites: this.sites, training, selected, timeoutMs, uploads: this.#uploads });
    return {
      counts: countsByName(plan, pooled.counts),
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

  /** All sites say what they have, and which commits they hold; the newest that all have is where the study goes on. */
  async #beginLive(): Promise<{ readonly pooled: Pooled; readonly start: ServerCommit | undefined }> {
    const { plan, commits, onStart } = this.#options;
    let start: ServerCommit | undefined;
    const pooled = await takeCensuses(
      plan,
      this.sites,
      async (found, held) => {
        this.#tellCounts(found);
        const schedule = new Schedule(
          plan,
          found.counts.map(({ train }) => train),
        );
        start = await commits?.newest(
          (steps) => mayStartAt(plan, schedule, steps) && held.every((own) => own.includes(steps)),
          (text) => this.#warn(text),
        );
        if (start) requireSame(found, pooledIn(start, plan));
        else await this.#tellOfNone(held);
        onStart(start);
        return start?.steps ?? 0;
      },
      () => 0,
    );
    return { pooled, start };
  }

  /** A study that begins at its start although the server has commits loses what was trained. */
  async #tellOfNone(held: readonly (readonly number[])[]): Promise<void> {
    const { plan, commits } = this.#options;
    const own = (await commits?.list()) ?? [];
    if (own.length === 0) return;
    const without = plan.sites.filter((_, site) => !held[site]?.some((steps) => own.includes(steps)));
    this.#warn(
      `the server has commits (after step ${own.join(' and ')}), but there is none that all sites have${without.length > 0 ? ` (${without.join(', ')} ${without.length === 1 ? 'has' : 'have'} none of them)` : ''}: the study begins again at its start`,
    );
  }

  /** What the sites have is known already where the server has a commit: then no site has to be there. */
  async #beginDetached(
    uploads: Uploads,
  ): Promise<{ readonly pooled: Pooled; readonly start: ServerCommit | undefined }> {
    const { plan, commits, onStart } = this.#options;
    const start = await commits?.newest(
      () => true,
      (text) => this.#warn(text),
    );
    onStart(start);
    if (!start) {
      const counted = (found: Pooled): number => {
        this.#tellCounts(found);
        return 0;
      };
      return {
        pooled: await takeCensuses(plan, this.sites, counted, (site, all) => uploads.chunksHeld(site, all)),
        start,
      };
    }
    const pooled = pooledIn(start, plan);
    this.#tellCounts(pooled);
    this.sites.settle(pooled);
    for (const site of plan.sites.keys()) uploads.takeAgain(site, pooled);
    return { pooled, start };
  }

  #tellCounts(pooled: Pooled): void {
    const { plan, onEvent } = this.#options;
    onEvent?.({
      kind: 'counts',
      counts: countsByName(plan, pooled.counts),
      epochs: plan.training.epochs,
      stepsPerEpoch: stepsOfEpoch(plan, pooled.counts),
    });
  }

  #trainingOf(pooled: Pooled, { trunk }: Network, commit: () => Promise<void>): Training {
    const { plan, study, logOrder, onEvent } = this.#options;
    const { commits, clock, commitEveryMs = usualCommitEveryMs } = this.#options;
    const [mean, sd] = pooled.moments.at(-1) ?? [0, 1];
    return new Training({
      plan,
      study,
      links: this.sites.links,
      trunk,
      schedule: new Schedule(
        plan,
        pooled.counts.map(({ train }) => train),
      ),
      counts: pooled.counts,
      classWeights: classWeights(plan.training.classWeights, pooled.classes),
      target: float32([mean, sd]),
      commitIsDue: () => commits !== undefined && clock.nowMs() - this.#committedMs >= commitEveryMs,
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
  async #upload(pooled: Pooled, start: ServerCommit | undefined): Promise<Pool | undefined> {
    const { plan, onEvent } = this.#options;
    if (!this.#uploads || !this.#store) return undefined;
    if (!start)
      await this.#uploads.takeAll(pooled, (site) => onEvent?.({ kind: 'uploaded', site: plan.sites[site] ?? '' }));
    return trainingPool(plan, pooled.counts, this.#store);
  }

  async #train(training: Training, epochs: Epochs, pool: Pool | undefined): Promise<void> {
    const { plan, study, clock, signal } = this.#options;
    const stepsPerEpoch = stepsOfEpoch(plan, training.options.counts);
    for (let epoch = epochs.history.length; epoch < plan.training.epochs; epoch++) {
      const since = clock.nowMs();
      const waitedAtStart = this.sites.waitedMs;
      const firstStep = Math.max(0, training.steps - epoch * stepsPerEpoch);
      if (pool) await trainPoolEpoch(training, study, pool, { epoch, firstStep, signal });
      else await trainEpoch(training, epoch, firstStep);
      this.#trainMs += clock.nowMs() - since;
      this.#waitedMs += this.sites.waitedMs - waitedAtStart;
      await epochs.end(epoch);
    }
  }

  /** Writes the server's half of the study's state. */
  async #commit(
    training: Training,
    epochs: Epochs,
    pooled: Pooled,
    about: { readonly scope: string; readonly isEpochEnd: boolean },
  ): Promise<void> {
    const { commits, engine, clock, onEvent } = this.#options;
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
      tensors: await commitTensors(training, epochs, pooled, about),
    });
    this.#committed = steps;
    this.#committedMs = clock.nowMs();
    onEvent?.({ kind: 'commit', step: steps });
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

function countsByName(plan: Plan, counts: readonly SiteCounts[]): Readonly<Record<string, SiteCounts>> {
  return Object.fromEntries(plan.sites.map((site, index) => [site, counts[index] as SiteCounts]));
}

/** Throws DataError unless the sites have the records with which the study began. */
function requireSame(found: Pooled, before: Pooled): void {
  const same = (['counts', 'classes', 'sums'] as const).every((name) => {
    const [now, then] = [bytesOf(found.tensors[name]), bytesOf(before.tensors[name])];
    return now.length === then.length && now.every((byte, index) => byte === then[index]);
  });
  if (!same)
    throw new DataError(
      'bad-data',
      'the records of the sites are not those with which this study began: a study goes on with the same records only',
    );
}
