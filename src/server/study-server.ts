// One study at the server, from the first hello to the last byte: who may connect, and the study's course, which begins again from a commit
// when a site's process was started again.

import { assert, type Clock, TimeoutError, TransportError } from '../base/index.ts';
import type { Engine } from '../engine/index.ts';
import { type Plan, planHash, quorumOf, type SiteCounts } from '../protocol/index.ts';
import { type CompiledStudy, initialState } from '../split/index.ts';
import type { ActivationStore, CommitStore } from '../store/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Listener } from '../transport/index.ts';
import { type AdmissionOptions, admit } from './admission.ts';
import { Changes } from './changes.ts';
import { ServerCommits } from './commits.ts';
import { Course, type Network, type Orders } from './course.ts';
import type { EpochRecord } from './epochs.ts';
import type { PartMetrics } from './evaluation.ts';
import type { Gate } from './gate.ts';
import { GoingBack } from './going-back.ts';
import type { HandOverState } from './hand-over.ts';
import { replicaScope } from './orders.ts';
import { Reception } from './reception.ts';
import { goingBack, hasWithdrawn } from './refuse.ts';
import type { ServerSiteLink } from './site-link.ts';
import { hasCopy, type StepReport } from './training.ts';
import { TrunkRunner } from './trunk-runner.ts';

/** What the server of a study is handed. */
export interface ServerOptions {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly engine: Engine;
  readonly listener: Listener;
  /** Where sites come in to all studies of the listener; without it the study has the listener to itself, and closes it at its end. */
  readonly reception?: Reception | undefined;
  /** Who may come in where there is no reception; without it, whoever says a site's name. */
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
  /** How long the study waits, when its results are kept, for a site that has not said that it has kept its own. Default: `timeoutMs`. */
  readonly handOverTimeoutMs?: number | undefined;
  /**
   * Keeps what the study ended with, and which sites are to hear so. Only when it has, any site is told that the study is over; what it throws
   * the study ends with.
   */
  readonly keep?: ((result: ServerResult, sites: readonly string[]) => Promise<void>) | undefined;
  /** `detached`: where activations are kept. */
  readonly activations?: ActivationStore;
  readonly logOrder?: (entry: {
    readonly epoch: number;
    readonly site: number;
    readonly step: number;
  }) => Promise<void>;
  /** Before a study with a quorum, or one that was stopped, goes on, who takes part from that step on is written to a log. */
  readonly logMembers?: (entry: MembersEntry) => Promise<void>;
  /** Where the server keeps its half of the study's state, and goes on from. Without it a study that has to go back begins again. */
  readonly commits?: CommitStore | undefined;
  /** How long after a commit another is written within an epoch, where the mode has such (`commitsWithin`, and `detached`). Default: a minute. */
  readonly commitEveryMs?: number | undefined;
  readonly onEvent?: (event: ServerEvent) => void;
}

/** Who takes part in a study after so many server steps. */
export interface MembersEntry {
  readonly step: number;
  /** The epoch that is to be trained next, and after how many the study ends. */
  readonly epoch: number;
  readonly epochs: number;
  /** Whether the study begins at its start: standardisation and class weights are these sites', and stay so. */
  readonly pooled: boolean;
  /** The sites that take part, and those among them that do so anew. */
  readonly sites: readonly string[];
  readonly entering: readonly string[];
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
  | { readonly kind: 'epoch'; readonly record: EpochRecord }
  /** The server's half of a commit after so many server steps is on disk. */
  | { readonly kind: 'commit'; readonly step: number }
  /** The study goes on after so many server steps; as many as `undone` are made again. */
  | {
      readonly kind: 'resumed';
      readonly step: number;
      readonly undone: number;
      readonly reason: string;
      readonly history: readonly EpochRecord[];
    }
  /** Not all sites take part from here on, or some do so anew. */
  | ({ readonly kind: 'members'; readonly away: readonly string[] } & MembersEntry)
  /** The study stands still after so many server steps, and goes on. */
  | { readonly kind: 'paused'; readonly step: number }
  | { readonly kind: 'going-on' }
  /** The study is over, and how it stands with what a site is to have at the end. */
  | { readonly kind: 'hand-over'; readonly site: string; readonly state: HandOverState }
  /** A site takes no part any more. */
  | { readonly kind: 'withdrawn'; readonly site: string }
  | { readonly kind: 'warning'; readonly text: string };

/** What the server has at the end. */
export interface ServerResult {
  readonly counts: Readonly<Record<string, SiteCounts>>;
  readonly val: PartMetrics | null;
  readonly test: PartMetrics | null;
  readonly bestEpoch: number;
  readonly history: readonly EpochRecord[];
  /** Whether the study lead stopped it before its last epoch. */
  readonly stoppedEarly: boolean;
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

/** Why a study goes back. */
interface Back {
  readonly reason: string;
  readonly steps: number;
  readonly straggler: number | undefined;
}

/** No honest batch takes longer, on the slowest machine; longer ones are allowed for by a longer `timeoutMs`. */
const silenceMsLeast = 600_000;
/** How often a study may go back without a commit in between. */
const goingBackMost = 20;

export class StudyServer {
  readonly #options: ServerOptions;
  readonly #commits: ServerCommits | undefined;
  /** Admission ends with the study, or when the caller's signal says so. */
  readonly #ended = new AbortController();
  /** Undefined while the study goes back. */
  #course: Course | undefined;
  #network: Promise<Network> | undefined;
  #traffic = { bytesUp: 0, bytesDown: 0 };
  readonly #withdrawn = new Set<number>();
  /** While the study is paused: who waits for its end. */
  #pause: Changes | undefined;
  #isStopping = false;
  /** Whether it was told that the study stands still. */
  #isStill = false;

  constructor(options: ServerOptions) {
    const { plan, activations, commits } = options;
    assert(activations || plan.choices.when !== 'detached', 'detached comes with a store of activations');
    this.#options = options;
    this.#commits = commits && new ServerCommits(commits, plan);
  }

  /** The study stands still after its next commit, which it makes as soon as it can, until `resume` or `stopEarly`. The sites wait. */
  pause(): void {
    this.#pause ??= new Changes(this.#options.clock);
  }

  /** The study goes on. */
  resume(): void {
    const pause = this.#pause;
    this.#pause = undefined;
    pause?.tell();
  }

  /** The study goes back to its newest commit and ends there, with the best model of the epochs that are complete; of the first one if none is yet. */
  stopEarly(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#goBack('the study is stopped');
    this.resume();
  }

  /**
   * A site takes part no more: what it uploaded is deleted, and the study goes on from the newest commit without it, or ends if too few
   * are left.
   */
  withdraw(site: number): void {
    const { plan, activations, onEvent } = this.#options;
    const name = plan.sites[site];
    if (name === undefined || this.#withdrawn.has(site)) return;
    const isPooled = activations?.sections().some((section) => section.site === name) ?? false;
    const tookPart = isPooled || (this.#course?.sites.isMember(site) ?? true);
    this.#withdrawn.add(site);
    onEvent?.({ kind: 'withdrawn', site: name });
    if (tookPart && this.#course?.isOver !== true) this.#goBack(`site ${name} has withdrawn`);
    else this.#course?.sites.link(site).stop(hasWithdrawn(name), hasWithdrawn(name), 'never');
    this.#pause?.tell();
  }

  /** Runs the study, once. Rejects with TimeoutError when a site stays away, DataError when a site's data do not serve, or the signal's reason. */
  run(): Promise<ServerResult> {
    return this.#receiving(() => this.#study());
  }

  /**
   * Serves the end of a study whose results are kept to those of its sites that have not said that they have kept theirs. Resolves when they
   * have, or have been away for `handOverTimeoutMs`, or when `signal` aborts. Rejects with DataError without the study's last commit.
   */
  async runOver(sites: readonly string[]): Promise<void> {
    await this.#receiving(async () => {
      const course = this.#newCourse(undefined);
      this.#course = course;
      this.#options.signal.throwIfAborted();
      await course.runOver(sites);
      await this.#forget();
    });
  }

  /** Does the study's work while sites come in. */
  async #receiving<T>(work: () => Promise<T>): Promise<T> {
    const { listener, gate, onEvent, plan, clock, signal } = this.#options;
    const onAbort = () => this.#stop(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    onEvent?.({ kind: 'listening', address: listener.address });
    const onRefused: AdmissionOptions['onRefused'] = (remote, reason, code) =>
      onEvent?.({ kind: 'refused', remote, reason, code });
    const { reception = new Reception({ listener, gate, clock, onRefused }) } = this.#options;
    const admission: AdmissionOptions = {
      plan,
      link: (site) => this.#link(site),
      restart: (site) => this.#restart(site),
      onRefused,
    };
    const closeDesk = reception.open({
      study: plan.study,
      planHash: planHash(plan),
      sites: plan.sites,
      serve: (caller) => admit(caller, admission),
      onEnrolled: (remote, site) => onEvent?.({ kind: 'enrolled', remote, site }),
      onWithdrawn: (site) => this.withdraw(plan.sites.indexOf(site)),
      onRefused,
    });
    const isShared = this.#options.reception !== undefined;
    const receiving = isShared ? undefined : reception.run(this.#ended.signal).catch(() => undefined); // It ends with the listener or the signal.
    try {
      const result = await work();
      this.#stop(new TransportError('closed', 'the study is over'));
      return result;
    } catch (error) {
      this.#stop(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (!isShared) await listener.close();
      await receiving;
      await closeDesk();
    }
  }

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    return this.#course?.traffic ?? this.#traffic;
  }

  #stop(reason: unknown): void {
    this.#ended.abort(reason);
    this.#pause?.tell();
    this.#course?.stop(reason);
  }

  /** A site process that was started again. Throws ProtocolError when the study has to go back for it, which it then does, or is at its end. */
  #restart(site: number): void {
    if (this.#course?.restart(site)) return;
    this.#goBack(`site ${this.#options.plan.sites[site] ?? ''} was started again`);
    throw goingBack();
  }

  /** Ends the course, unless the study goes back already, or is at its end and sites have left. */
  #goBack(reason: string): void {
    const course = this.#course;
    if (!course || course.isOver) return;
    course.stop(new GoingBack(reason), 'anew');
    this.#leave(course);
    this.#pause?.tell();
  }

  #leave(course: Course): void {
    if (this.#course !== course) return;
    this.#traffic = course.traffic;
    this.#course = undefined;
  }

  /** A site's link; undefined while the study goes back to a commit. Throws ProtocolError for one that has withdrawn. */
  #link(site: number): ServerSiteLink | undefined {
    if (this.#withdrawn.has(site)) throw hasWithdrawn(this.#options.plan.sites[site] ?? '');
    return this.#course?.sites.link(site);
  }

  get #orders(): Orders {
    return {
      mayGoOn: () => this.#mayGoOn(),
      isPausing: () => this.#pause !== undefined,
      isStopping: () => this.#isStopping,
      withdrawn: (site) => this.#withdrawn.has(site),
    };
  }

  async #mayGoOn(): Promise<void> {
    const { signal, onEvent, plan } = this.#options;
    if (!this.#pause) return;
    const course = this.#course;
    if (!this.#isStill) onEvent?.({ kind: 'paused', step: (await this.#commits?.list())?.at(-1) ?? 0 });
    this.#isStill = true;
    // Too few that are left end the study, and nobody waits for that.
    const isEnough = () => plan.sites.length - this.#withdrawn.size >= quorumOf(plan);
    while (this.#pause && this.#course === course && !signal.aborted && isEnough()) await this.#pause.next();
    if (this.#pause) return;
    this.#isStill = false;
    onEvent?.({ kind: 'going-on' });
  }

  /** Deletes what sites uploaded that have withdrawn. */
  async #forget(): Promise<void> {
    const { plan, activations } = this.#options;
    for (const site of this.#withdrawn) await activations?.remove(plan.sites[site] ?? '');
  }

  /** From the start or the newest commit to the end, and back to a commit as often as need be. */
  async #study(): Promise<ServerResult> {
    const { plan, signal } = this.#options;
    let back: Back | undefined;
    for (let times = 0; ; times++) {
      const course = this.#newCourse(back);
      this.#course = course;
      signal.throwIfAborted();
      await this.#forget();
      try {
        const result = await course.run();
        await this.#forget();
        return result;
      } catch (error) {
        if (!(error instanceof GoingBack)) throw error;
        this.#leave(course);
        if (course.isFurther) times = 0;
        if (times === goingBackMost)
          throw new TimeoutError(
            `the study of ${plan.sites.length} sites went back ${goingBackMost} times without getting to another commit; the last time because ${error.message}`,
          );
        back = { reason: error.message, steps: course.steps, straggler: error.straggler };
      }
    }
  }

  #newCourse(before: Back | undefined): Course {
    const { onEvent, timeoutMs, joinTimeoutMs, handOverTimeoutMs = timeoutMs } = this.#options;
    const { silenceTimeoutMs = Math.max(silenceMsLeast, timeoutMs) } = this.#options;
    return new Course({
      ...this.#options,
      network: () => (this.#network ??= this.#loadNetwork()),
      commits: this.#commits,
      joinTimeoutMs: before ? timeoutMs : joinTimeoutMs,
      silenceTimeoutMs,
      handOverTimeoutMs,
      traffic: this.#traffic,
      away: new Set(before?.straggler === undefined ? [] : [before.straggler]),
      orders: this.#orders,
      onStart: (start) => {
        const { steps: step = 0, history = [] } = start ?? {};
        if (start || before)
          onEvent?.({
            kind: 'resumed',
            step,
            undone: Math.max(0, (before?.steps ?? step) - step),
            reason: before?.reason ?? 'the server was started again',
            history,
          });
      },
    });
  }

  async #loadNetwork(): Promise<Network> {
    const { plan, study, engine } = this.#options;
    const trunk = await TrunkRunner.open(engine, study, hasCopy(plan));
    const scopes = plan.choices.trunk === 'averaged' ? plan.sites.map((_, site) => replicaScope(site)) : [''];
    const { segment, head, trunk: whole } = study.parts;
    const start = () => ({
      trunk: initialState(whole, plan.seed),
      segment: { ...initialState(segment, plan.seed), ...(head ? initialState(head, plan.seed) : {}) },
    });
    return { trunk, scopes, start };
  }
}
