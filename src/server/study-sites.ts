// The sites of a study as the server has them: each one's link, its session held against its script, and how often its process has
// started over. What was begun with a site that starts over is begun again.

import { type Clock, ProtocolError, SeptumError } from '../base/index.ts';
import {
  checkGroups,
  checkUpdates,
  type Message,
  messagesAhead,
  partNames,
  type Plan,
  planHash,
  readCensus,
  readReport,
  type ScriptFacts,
  Session,
  type SiteCounts,
  siteScript,
  type Standing,
  standingValues,
  unknownFacts,
} from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { Changes } from './changes.ts';
import { GoingBack } from './going-back.ts';
import { ServerSiteLink, type SiteLinkOptions } from './site-link.ts';

/** What the sites' censuses make together. */
export interface Pooled {
  readonly counts: readonly SiteCounts[];
  /** Training records of each class; one number for regression. */
  readonly classes: readonly number[];
  /** [mean, sd] of each standardised input column, and of the target last. */
  readonly moments: readonly (readonly [number, number])[];
  /** The same as it is told to the sites. */
  readonly tensors: {
    readonly counts: Tensor<'int32'>;
    readonly classes: Tensor<'int32'>;
    readonly sums: Tensor<'float64'>;
  };
}

export interface StudySitesOptions {
  readonly plan: Plan;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly joinTimeoutMs: number | undefined;
  readonly silenceTimeoutMs: number;
  readonly hasCommit: () => boolean;
  /** Whether the study has all that it needs of the site before its end. */
  readonly hasUploaded: (site: number) => boolean;
  /** Whether the site is one of the study's no longer. */
  readonly withdrawn: (site: number) => boolean;
  readonly onState: (site: string, ...what: Parameters<SiteLinkOptions['onState']>) => void;
}

export class StudySites {
  readonly links: readonly ServerSiteLink[];
  /** A site is there or gone, or has said something. */
  readonly changes: Changes;
  readonly #plan: Plan;
  readonly #facts: ScriptFacts[];
  readonly #restarts: number[] = [];
  #pooled: Pooled | undefined;
  #stopped: { readonly reason: unknown } | undefined;
  /** By site: whether it takes part; until that is known all do. */
  #present: readonly boolean[];
  readonly #withdrawn: (site: number) => boolean;
  readonly #hasUploaded: (site: number) => boolean;

  constructor({ plan, onState, withdrawn, hasUploaded, ...options }: StudySitesOptions) {
    this.#plan = plan;
    this.#withdrawn = withdrawn;
    this.#hasUploaded = hasUploaded;
    this.changes = new Changes(options.clock);
    this.#present = plan.sites.map(() => true);
    this.#facts = plan.sites.map(() => unknownFacts(plan));
    const hash = planHash(plan);
    this.links = plan.sites.map(
      (site, index) =>
        new ServerSiteLink(this.#session(index), {
          ...options,
          site,
          planHash: hash,
          inboxMost: messagesAhead(plan),
          inspect: (message) => this.#inspect(index, message),
          isAwaited: () => this.isMember(index),
          stragglerMs: () => (this.#canDoWithout(index) ? plan.stragglerTimeoutMs : undefined),
          straggles: (what) => new GoingBack(`site ${site} is away or silent: no ${what} for so long`, index),
          onChange: () => this.changes.tell(),
          onState: (state, ...what) => {
            onState(site, state, ...what);
            // Whether the study can do without another site may depend on this one.
            if (state === 'connected' && plan.quorum !== undefined) for (const link of this.links) link.wake();
          },
        }),
    );
  }

  link(site: number): ServerSiteLink {
    return this.links[site] as ServerSiteLink;
  }

  /** What all censuses make together; undefined until it is settled who takes part. */
  get pooled(): Pooled | undefined {
    return this.#pooled;
  }

  /** From here on the sites' counts are fixed, and a site that starts over starts over after this. */
  settle(pooled: Pooled, present: readonly boolean[]): void {
    this.#pooled = pooled;
    this.#present = present;
    this.#restarts.length = 0;
  }

  /** A site that does not take part yet has been counted too. */
  recount(pooled: Pooled): void {
    this.#pooled = pooled;
  }

  /** The sites that have not withdrawn. */
  get left(): readonly number[] {
    return [...this.links.keys()].filter((site) => !this.#withdrawn(site));
  }

  /** Whether a site takes part. */
  isMember(site: number): boolean {
    return this.#present[site] === true && !this.#withdrawn(site);
  }

  /** The sites that do. */
  get members(): readonly number[] {
    return this.left.filter((site) => this.isMember(site));
  }

  /** A site is there that does not take part, and has said what it has. */
  isAtTheDoor(site: number): boolean {
    return !this.isMember(site) && !this.#withdrawn(site) && this.isReady(site);
  }

  /** Whether a site is there and has sent its census, which nobody has taken. */
  isReady(site: number): boolean {
    return this.link(site).connected && this.link(site).peek('census') !== undefined;
  }

  /** Whether those that are there, or are not needed there any more, are a quorum without this site. */
  #canDoWithout(site: number): boolean {
    if (this.#plan.quorum === undefined || !this.isMember(site) || this.#hasUploaded(site)) return false;
    const others = this.members.filter((other) => other !== site);
    return others.filter((other) => this.link(other).connected || this.#hasUploaded(other)).length >= this.#plan.quorum;
  }

  /** Tells a site what all censuses make together, how many chunks of its upload the server holds, and where the study stands. */
  async tellPooled(site: number, { counts, tensors }: Pooled, chunksHeld: number, standing: Standing): Promise<void> {
    Object.assign(this.#facts[site] as ScriptFacts, { counts, chunksHeld, standing });
    const { members, scalars } = standingValues(standing, chunksHeld);
    await this.link(site).send('pooled', { tensors: { ...tensors, members }, scalars });
  }

  /** How often a site has started over: at all, or once the counts are settled since then. */
  restarts(site: number): number {
    return this.#restarts[site] ?? 0;
  }

  /** Begins a site's script anew, for a process that was started again. */
  startOver(site: number): void {
    this.#facts[site] = unknownFacts(this.#plan);
    this.#restarts[site] = this.restarts(site) + 1;
    this.link(site).restart(this.#session(site));
  }

  /** The same for whichever process the site has. */
  beginAnew(site: number): void {
    this.#facts[site] = unknownFacts(this.#plan);
    this.link(site).beginAnew(this.#session(site));
  }

  /** Does `work` with a site, and again from its start whenever the site starts over meanwhile. */
  async redoing<T>(site: number, work: (restarts: number) => Promise<T>): Promise<T> {
    for (;;) {
      const restarts = this.restarts(site);
      try {
        return await work(restarts);
      } catch (error) {
        if (this.restarts(site) === restarts) throw error;
      }
    }
  }

  /**
   * Ends all waits with `reason`. The sites are told its words if they are Septum's own; at the server those speak of no record. With
   * `anew` they may come back and begin their scripts anew.
   */
  stop(reason: unknown, mayReturn: 'never' | 'anew' = 'never'): void {
    const words = reason instanceof SeptumError ? reason.message : 'the server was stopped';
    for (const link of this.links) link.stop(reason, new ProtocolError('study-stopped', words), mayReturn);
    this.#stopped ??= { reason };
    this.changes.close();
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Throws the reason if the sites were stopped. */
  throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** Bytes that came from the sites and went to them so far. */
  get traffic(): { readonly bytesUp: number; readonly bytesDown: number } {
    return {
      bytesUp: this.links.reduce((sum, link) => sum + link.bytesReceived, 0),
      bytesDown: this.links.reduce((sum, link) => sum + link.bytesSent, 0),
    };
  }

  /** Milliseconds in which the server waited for sites' messages so far. */
  get waitedMs(): number {
    return this.links.reduce((sum, link) => sum + link.waitedMs, 0);
  }

  #session(site: number): Session {
    return new Session('server', siteScript(this.#plan, site, this.#facts[site] as ScriptFacts));
  }

  /** What the script does not say of a site's messages. Throws ProtocolError. */
  #inspect(site: number, message: Message): void {
    if (message.kind === 'census') readCensus(message);
    if (message.kind === 'report') readReport(message, this.#recordsOf(site, message.part), this.#recordsOf(site, 0));
    if (message.kind === 'activations') checkGroups(message, this.#recordsOf(site, message.part));
    if (message.kind === 'weights') checkUpdates(message);
  }

  #recordsOf(site: number, part: number): number {
    const counts = this.#pooled?.counts[site];
    const name = partNames[part];
    return counts && name ? counts[name] : 0;
  }
}
