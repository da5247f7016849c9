// The end of a study. First the trunk goes to the sites and their segments come to the server, as far as the plan says so. When the server
// has kept its results the sites are told that the study is over, and each says when it has kept its own: until then another process of it
// may come, and is given again what it is to have. Nothing of this needs more than the newest commit, so a server that was started again
// serves it as well.

import { type Clock, DataError, ProtocolError, TimeoutError } from '../base/index.ts';
import { inChunks, type Plan, readCensus, serverKnowsSegment, type Standing, stateTensors } from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { requireSame } from './census.ts';
import type { Pooled, StudySites } from './study-sites.ts';
import type { Training } from './training.ts';
import type { Uploads } from './uploads.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** How often what a site ends with is begun again with it. */
const attemptsMost = 20;

export interface HandOverOptions {
  readonly plan: Plan;
  readonly clock: Clock;
  readonly sites: StudySites;
  /** With `detached`: a site may be gone, or start over. */
  readonly uploads: Uploads | undefined;
  readonly pooled: Pooled;
  /** As a site is told that comes after the end. */
  readonly standing: Standing;
  /** The selected trunk. */
  readonly trunk: Tensors;
  /** Server steps of the whole study. */
  readonly steps: number;
  /** How long a site that is lost is waited for once the results are kept. */
  readonly timeoutMs: number;
  readonly onState: (site: string, state: HandOverState) => void;
}

/** A site that has not said that it has kept everything is waited for; it has said so; or it is waited for no longer. */
export type HandOverState = 'awaited' | 'done' | 'given-up';

export class HandOver {
  readonly #options: HandOverOptions;
  /** How often each site that has all but the last word had started over by then. */
  readonly #given = new Map<number, number>();
  /** The sites that are waited for. */
  readonly #awaited = new Set<number>();

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /** The sites that are to be told of the end. */
  get sites(): readonly number[] {
    const { sites, standing } = this.#options;
    return sites.left.filter((site) => standing.present[site]);
  }

  /**
   * Resolves when the sites have the trunk and their last commits, with the segments by site name, or under '' where there is one for all,
   * which is `segment`.
   */
  async exchange(training: Training, segment: Tensors | undefined): Promise<Readonly<Record<string, Tensors>>> {
    const { plan, sites, uploads } = this.#options;
    const segments: Record<string, Tensors> = {};
    if (segment) segments[''] = segment;
    const takesSegments = plan.segmentsToServer && !serverKnowsSegment(plan.choices);
    const mayLeave = (site: number) => uploads !== undefined || (!takesSegments && this.#hasShownCommit(site));
    const exchangeWith = async (site: number): Promise<void> => {
      const link = sites.link(site);
      await this.#giveTrunk(site, mayLeave(site));
      if (takesSegments)
        segments[plan.sites[site] ?? ''] = (await training.receiveSegment(site, false, mayLeave(site))).state;
      await link.acknowledged(mayLeave(site));
      this.#given.set(site, sites.restarts(site));
    };
    const exchangeWhileThere = async (site: number): Promise<void> => {
      try {
        await (uploads ? this.#whileThere(uploads, site, exchangeWith) : exchangeWith(site));
      } catch (error) {
        if (!(mayLeave(site) && error instanceof TimeoutError) && !uploads?.isRefused(site)) throw error;
      }
    };
    await Promise.all(sites.members.map(exchangeWhileThere));
    return segments;
  }

  /** Whether the site has sent what comes after its last commit. */
  #hasShownCommit(site: number): boolean {
    const { plan, pooled } = this.#options;
    return plan.choices.labels === 'site' || (pooled.counts[site]?.test ?? 0) > 0;
  }

  /**
   * Tells sites that the study is over. Resolves when each of those that are `awaited` has said that it has kept everything, or has been away
   * for `timeoutMs`; at once when the sites are stopped. Others that come meanwhile are told too.
   */
  async finish(awaited: readonly number[]): Promise<void> {
    for (const site of awaited) this.#awaited.add(site);
    await Promise.all(this.sites.map((site) => this.#finishWith(site).finally(() => this.#letGo(site))));
  }

  /** The site is waited for no longer. */
  #letGo(site: number): void {
    if (this.#awaited.delete(site) && this.#awaited.size === 0)
      for (const link of this.#options.sites.links) link.wake();
  }

  async #finishWith(site: number): Promise<void> {
    const { plan, sites, clock, uploads, onState } = this.#options;
    const name = plan.sites[site] ?? '';
    const sinceMs = clock.nowMs();
    for (let attempt = 0; attempt < attemptsMost; attempt++) {
      const restarts = sites.restarts(site);
      try {
        if (await this.#finishOnce(site, restarts, sinceMs)) return onState(name, 'done');
        break;
      } catch (error) {
        if (sites.isStopped || !sites.left.includes(site)) return;
        if (uploads?.isRefused(site)) break;
        if (error instanceof DataError) {
          sites.link(site).stop(error, new ProtocolError('study-stopped', error.message), 'never');
          break;
        }
        const startedOver = sites.restarts(site) !== restarts;
        if (!startedOver && !(error instanceof TimeoutError)) throw error;
        this.#given.delete(site);
      }
    }
    if (this.#awaited.has(site)) onState(name, 'given-up');
  }

  /** Gives whether the site says that it has kept everything; else it stays away. Throws what its link does, and DataError for one that cannot be served. */
  async #finishOnce(site: number, restarts: number, sinceMs: number): Promise<boolean> {
    const { sites, uploads } = this.#options;
    const link = sites.link(site);
    if (this.#given.get(site) !== restarts) {
      // Whatever it was sent in a session that did not come to its end, it is sent again.
      if (link.position > 1 && !uploads?.isUnderWay(site)) sites.beginAnew(site);
      if (!(await this.#comes(site, sinceMs))) return false;
      await this.#giveAgain(site);
      this.#given.set(site, restarts);
    }
    await link.send('finish', {}, true);
    for (let parting = 0; parting < attemptsMost; parting++) {
      if (await link.drain()) return true;
      if (!(await this.#comes(site, sinceMs))) return false;
      if (sites.restarts(site) !== restarts) throw new ProtocolError('out-of-order', 'the site started over');
    }
    return false;
  }

  /** Resolves with whether the site is there, or comes before its time is over. */
  async #comes(site: number, sinceMs: number): Promise<boolean> {
    const { plan, sites, timeoutMs, onState } = this.#options;
    const link = sites.link(site);
    if (!link.connected && this.#awaited.has(site)) onState(plan.sites[site] ?? '', 'awaited');
    return link.returns(() => (this.#awaited.size > 0 ? timeoutMs : 0), sinceMs);
  }

  /** From the census to the last word, with another process of a site. */
  async #giveAgain(site: number): Promise<void> {
    const { plan, sites, uploads, pooled, standing } = this.#options;
    if (uploads?.isUnderWay(site)) await uploads.awaitUpload(site);
    else {
      const { message } = await sites.link(site).receive('census', true);
      const { counts, commits } = readCensus(message);
      requireSame(plan, site, counts, pooled.counts[site]);
      if (standing.startStep > 0 && !commits.includes(standing.startStep))
        throw new DataError(
          'missing-data',
          `the study is over, and site ${plan.sites[site] ?? ''} has no commit of its end`,
        );
      await sites.tellPooled(site, pooled, 0, standing);
    }
    await this.#giveTrunk(site, true);
    await sites.link(site).acknowledged(true);
  }

  async #giveTrunk(site: number, mayLeave: boolean): Promise<void> {
    const { plan, sites, trunk, steps } = this.#options;
    if (!plan.trunkToSites) return;
    for (const _ of inChunks(stateTensors('trunk', plan.layouts.trunk, false)))
      await sites.link(site).send('weights', { tensors: trunk, scalars: [steps] }, mayLeave);
  }

  /** `work` with a site, from the start again if the site starts over, and not at all if it has left. */
  async #whileThere(uploads: Uploads, site: number, work: (site: number) => Promise<void>): Promise<void> {
    const { sites } = this.#options;
    await sites.redoing(site, async () => {
      await sites.link(site).settled();
      if (!sites.link(site).isNear) return;
      await uploads.awaitUpload(site);
      if (sites.link(site).isNear) await work(site);
    });
  }
}
