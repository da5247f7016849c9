// Which of the batches that wait at the server is next, with `order: arrival`. Pure functions of what waits and of what was taken in the
// epoch, so the same queue gives the same choice. The choice is written to a log before it is used; the log decides, not the clock.
//
//   fair          each site has of the trunk's work what it has of the data, while it has batches waiting: start-time fair queueing
//                 (Goyal, Vin and Cheng, SIGCOMM 1996), a site's weight being its training records
//   fifo          the batch that was there first
//   least-served  the site of which the fewest batches were taken in this epoch; of equals the one that waits longest

import { assert } from '../base/index.ts';
import type { Discipline } from '../protocol/index.ts';

/** The oldest batch of a site, which waits. */
export interface Waiting {
  readonly site: number;
  /** When it was there, as a count over all messages. */
  readonly arrival: number;
  readonly records: number;
}

/** What the epoch has taken so far. */
export interface Taken {
  /** Training records of each site: its weight. */
  readonly weights: readonly number[];
  /** Batches of each site. */
  readonly batches: readonly number[];
  /** `fair`: the virtual time, in which every site has one unit of work an epoch, of the batch taken last. */
  readonly now: number;
  /** `fair`: the virtual time at which the work of each site's last batch ends. */
  readonly ends: readonly number[];
  /** `fair`: the virtual time at which the batch that waits of each site began to wait; undefined where none did. */
  readonly began: readonly (number | undefined)[];
}

/** An epoch before its first batch, for sites with so many training records each. */
export function nothingTaken(weights: readonly number[]): Taken {
  const each = <T>(value: T): T[] => weights.map(() => value);
  return { weights, batches: each(0), now: 0, ends: each(0), began: each(undefined) };
}

/** The next batch of those that wait, at least one, and what is taken with it. */
export function takeNext(
  discipline: Discipline,
  waiting: readonly Waiting[],
  before: Taken,
): { readonly next: Waiting; readonly taken: Taken } {
  const began = [...before.began];
  // Who was away gets no credit for it: its work begins when its batch is seen.
  for (const { site } of waiting) began[site] ??= Math.max(before.now, at(before.ends, site));
  const rank = ({ site, arrival }: Waiting): number =>
    discipline === 'fair' ? at(began, site) : discipline === 'fifo' ? arrival : at(before.batches, site);
  const next = [...waiting].sort((a, b) => rank(a) - rank(b) || tie(discipline, a, b))[0];
  assert(next, 'a batch waits');
  const { site, records } = next;
  const start = at(began, site);
  const taken: Taken = {
    weights: before.weights,
    batches: before.batches.with(site, at(before.batches, site) + 1),
    now: Math.max(before.now, start),
    ends: before.ends.with(site, start + records / at(before.weights, site)),
    began: began.with(site, undefined),
  };
  return { next, taken };
}

/** Of equals the one with the longer wait, with `fair` the lower index: it is not to depend on the network. */
function tie(discipline: Discipline, a: Waiting, b: Waiting): number {
  return discipline === 'fair' ? a.site - b.site : a.arrival - b.arrival;
}

function at(values: readonly (number | undefined)[], site: number): number {
  return values[site] ?? 0;
}
