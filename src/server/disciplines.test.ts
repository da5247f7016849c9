import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Discipline } from '../protocol/index.ts';
import { nothingTaken, takeNext, type Waiting } from './disciplines.ts';

/** Takes `steps` batches of sites with so many records each, all of which always have one waiting, but for those that `away` says are not there. */
function taken(
  discipline: Discipline,
  records: readonly number[],
  steps: number,
  { batch = 10, away = () => false }: { batch?: number; away?: (site: number, step: number) => boolean } = {},
): number[] {
  let account = nothingTaken(records);
  let arrivals = 0;
  const waiting = new Map<number, Waiting>();
  const order: number[] = [];
  for (let step = 0; step < steps; step++) {
    for (const site of records.keys())
      if (!waiting.has(site) && !away(site, step)) waiting.set(site, { site, arrival: arrivals++, records: batch });
    const { next, taken: after } = takeNext(discipline, [...waiting.values()], account);
    account = after;
    waiting.delete(next.site);
    order.push(next.site);
  }
  return order;
}

const countOf = (order: readonly number[], site: number) => order.filter((one) => one === site).length;

describe('fair', () => {
  it('takes batches by data share, the small sites spread among the large', () => {
    expect(taken('fair', [70, 20, 10], 10)).toEqual([0, 1, 2, 0, 0, 0, 1, 0, 0, 0]);
  });

  // Two sites' work by weight differs in any stretch of time by a batch of each by its weight (Goyal, Vin and Cheng, theorem 1). Against the
  // mean over all n sites that is 1 + n·w/W batches of a site with weight w of W.
  it('gives each site its due within the bound of start-time fair queueing, however far it has come, while all have work waiting', () => {
    const shares = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(shares, fc.nat(500), (weights, from) => {
        const order = taken('fair', weights, from + 1000).slice(from);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [site, weight] of weights.entries())
          expect(Math.abs(countOf(order, site) - (1000 * weight) / total)).toBeLessThanOrEqual(
            1 + (weights.length * weight) / total,
          );
      }),
      { numRuns: 50 },
    );
  });

  it('is within one part in twenty of each site’s due in every 1000 steps with 200 sites', () => {
    const order = taken('fair', new Array<number>(200).fill(50), 3000);
    for (let from = 0; from <= 2000; from += 100)
      for (const site of [0, 7, 199])
        expect(Math.abs(countOf(order.slice(from, from + 1000), site) - 5)).toBeLessThanOrEqual(0.25);
  });

  it('counts records, not batches', () => {
    let account = nothingTaken([60, 60]);
    const order: number[] = [];
    for (let step = 0; step < 9; step++) {
      const waiting = [0, 1].map((site) => ({ site, arrival: step, records: site === 0 ? 20 : 10 }));
      const { next, taken: after } = takeNext('fair', waiting, account);
      account = after;
      order.push(next.site);
    }
    expect(countOf(order, 1)).toBe(2 * countOf(order, 0));
  });

  it('gives no credit to a site that was away: the others are not starved when it comes back', () => {
    const order = taken('fair', [10, 10], 100, { away: (site, step) => site === 1 && step < 50 });
    expect(countOf(order.slice(0, 50), 0)).toBe(50);
    expect(countOf(order.slice(50, 60), 0)).toBe(5);
  });

  it('does not depend on which batch came first', () => {
    const waiting = [
      { site: 1, arrival: 3, records: 5 },
      { site: 0, arrival: 9, records: 5 },
    ];
    expect(takeNext('fair', waiting, nothingTaken([5, 5])).next.site).toBe(0);
  });
});

describe('fifo', () => {
  it('takes the batch that was there first', () => {
    const waiting = [4, 2, 3].map((arrival, site) => ({ site, arrival, records: 1 }));
    expect(takeNext('fifo', waiting, nothingTaken([9, 9, 9])).next.site).toBe(1);
  });
});

describe('least-served', () => {
  it('gives all sites as many batches as each other, whatever they have of the data', () => {
    const order = taken('least-served', [70, 20, 10], 30);
    for (const site of [0, 1, 2]) expect(countOf(order, site)).toBe(10);
  });

  it('lets a site that was away catch up', () => {
    const order = taken('least-served', [10, 10], 100, { away: (site, step) => site === 1 && step < 50 });
    expect(countOf(order, 0)).toBe(50);
  });
});

it.each(['fair', 'fifo', 'least-served'] as const)(
  '%s takes every batch once, and changes nothing that it was given',
  (discipline) => {
    const before = nothingTaken([3, 2, 1]);
    const copy = structuredClone(before);
    const waiting = [0, 1, 2].map((site) => ({ site, arrival: 2 - site, records: 1 }));
    const { next, taken: after } = takeNext(discipline, waiting, before);
    expect(before).toEqual(copy);
    expect(after.batches).toEqual([0, 1, 2].map((site) => (site === next.site ? 1 : 0)));
  },
);
