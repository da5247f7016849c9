// Whose batch is next where sites are taken as they come. Of those whose batches are there, the site goes first that is furthest behind
// its share of the epoch, so that a fast one does not keep a slow or small one waiting; of several, the one whose batch came first.

import type { ServerSiteLink } from './site-link.ts';

export class Arrivals {
  readonly #links: readonly ServerSiteLink[];
  /** Batches of each site in the epoch, and how many of them were taken. */
  readonly #batches: readonly number[];
  readonly #taken: number[];
  /** Sites that have batches left. */
  readonly #left: Set<number>;
  /** Sites whose next message is waited for, each once however often others come in between; and in which wait that began. */
  readonly #awaited = new Map<number, number>();
  #waits = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(links: readonly ServerSiteLink[], batches: readonly number[]) {
    this.#links = links;
    this.#batches = batches;
    this.#taken = batches.map(() => 0);
    this.#left = new Set(batches.flatMap((count, site) => (count > 0 ? [site] : [])));
  }

  /**
   * The site whose batch is taken next. Waits for one; a site that is lost or silent is waited for as long as no other comes. Throws as
   * `ServerSiteLink.awaitMessage` does, and TypeError when no site has batches left.
   */
  async next(): Promise<number> {
    if (this.#left.size === 0) throw new TypeError('no site has batches left');
    for (;;) {
      const site = this.#first();
      if (site !== undefined) {
        this.#taken[site]! += 1;
        if (this.#taken[site] === this.#batches[site]) this.#left.delete(site);
        return site;
      }
      await this.#wait();
    }
  }

  #first(): number | undefined {
    let first: number | undefined;
    let [least, oldest] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const site of this.#left) {
      const arrival = this.#links[site]?.oldestArrival;
      if (arrival === undefined) continue;
      const share = this.#taken[site]! / this.#batches[site]!;
      if (share > least || (share === least && arrival > oldest)) continue;
      [first, least, oldest] = [site, share, arrival];
    }
    return first;
  }

  async #wait(): Promise<void> {
    const wait = (this.#waits += 1);
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    for (const site of this.#left) this.#await(site, wait);
    await woken;
    if (this.#failure) throw this.#failure.error;
  }

  #await(site: number, wait: number): void {
    if (this.#awaited.has(site)) return;
    this.#awaited.set(site, wait);
    const over = (failure?: { readonly error: unknown }): void => {
      const since = this.#awaited.get(site);
      this.#awaited.delete(site);
      // Patience that began before others came is begun again.
      if (failure && since === this.#waits) this.#failure = failure;
      this.#wake();
    };
    (this.#links[site] as ServerSiteLink).awaitMessage().then(
      () => over(),
      (error: unknown) => over({ error }),
    );
  }
}
