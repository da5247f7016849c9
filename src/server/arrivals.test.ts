import { describe, expect, it } from 'vitest';
import { TimeoutError } from '../base/index.ts';
import { Arrivals } from './arrivals.ts';
import type { ServerSiteLink } from './site-link.ts';

/** Sites as `Arrivals` sees them: each has the arrival of its oldest message, or is waited for. */
class Sites {
  readonly links: readonly ServerSiteLink[];
  readonly waits: number[];
  readonly #arrivals: (number | undefined)[];
  readonly #told: (((error?: Error) => void) | undefined)[];
  #count = 0;

  constructor(siteCount: number) {
    this.waits = new Array<number>(siteCount).fill(0);
    this.#arrivals = new Array<number | undefined>(siteCount).fill(undefined);
    this.#told = new Array<((error?: Error) => void) | undefined>(siteCount).fill(undefined);
    const [arrivals, waits, told] = [this.#arrivals, this.waits, this.#told];
    this.links = arrivals.map((_, site) => ({
      get oldestArrival() {
        return arrivals[site];
      },
      awaitMessage: () => {
        waits[site]! += 1;
        return new Promise<void>((resolve, reject) => {
          told[site] = (error) => (error ? reject(error) : resolve());
        });
      },
    })) as unknown as ServerSiteLink[];
  }

  comes(site: number): void {
    this.#arrivals[site] = this.#count++;
    this.#told[site]?.();
  }

  isTaken(site: number): void {
    this.#arrivals[site] = undefined;
  }

  isLost(site: number): void {
    this.#told[site]?.(new TimeoutError(`site ${site} is lost`));
  }
}

describe('the site whose batch is taken next', () => {
  it('is the first that came, of those that are as far', async () => {
    const sites = new Sites(3);
    const arrivals = new Arrivals(sites.links, [5, 5, 5]);
    for (const site of [2, 0, 1]) sites.comes(site);
    const taken: number[] = [];
    for (let step = 0; step < 3; step++) {
      taken.push(await arrivals.next());
      sites.isTaken(taken.at(-1)!);
    }
    expect(taken).toEqual([2, 0, 1]);
  });

  it('is the one that is furthest behind its share: each has it, though one is always there and small ones come late', async () => {
    const sites = new Sites(3);
    const batches = [700, 200, 100];
    const arrivals = new Arrivals(sites.links, batches);
    for (const site of [0, 1, 2]) sites.comes(site);
    const taken = [0, 0, 0];
    for (let step = 1; step <= 1000; step++) {
      const site = await arrivals.next();
      taken[site]! += 1;
      sites.isTaken(site);
      sites.comes(site);
      if (step % 100 === 0) batches.forEach((due, index) => expect(Math.abs(taken[index]! - (due * step) / 1000)).toBeLessThanOrEqual(1)); // prettier-ignore
    }
    expect(taken).toEqual(batches);
    await expect(arrivals.next()).rejects.toThrow(TypeError);
  });

  it('is waited for once, however often others come in between', async () => {
    const sites = new Sites(2);
    const arrivals = new Arrivals(sites.links, [1000, 1]);
    for (let step = 0; step < 500; step++) {
      const next = arrivals.next();
      sites.comes(0);
      expect(await next).toBe(0);
      sites.isTaken(0);
    }
    expect(sites.waits).toEqual([500, 1]);
  });

  it('fails with a site that is lost only while no other comes', async () => {
    const sites = new Sites(2);
    const arrivals = new Arrivals(sites.links, [5, 5]);
    const first = arrivals.next();
    sites.comes(0);
    expect(await first).toBe(0);
    sites.isTaken(0);
    const second = arrivals.next();
    sites.isLost(1); // Its patience began with the first wait.
    sites.comes(0);
    expect(await second).toBe(0);
    sites.isTaken(0);
    const third = arrivals.next().catch((error: unknown) => error);
    await Promise.resolve();
    sites.isLost(1);
    expect(await third).toMatchObject({ message: 'site 1 is lost' });
  });
});
