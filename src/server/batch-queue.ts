// The papers' queue for parameter scheduling, with `order: arrival`: what has come of the sites' batches of an epoch, and which of them is
// next. A site that is slow, lost, or does not read what it is sent holds nobody up as long as others have batches here.
//
// The batches themselves lie in the sites' links. They are bounded: a site's script lets it send a window's batches, and then none before an
// answer.

import { TimeoutError } from '../base/index.ts';
import { type Batch, piecesOf } from '../protocol/index.ts';
import { nothingTaken, type Taken, takeNext, type Waiting } from './disciplines.ts';
import { GoingBack } from './going-back.ts';
import { arrivalsSoFar } from './site-link.ts';
import type { SiteBatch, Training } from './training.ts';

/** A batch that is next. */
export interface FromQueue extends SiteBatch {
  /** Server steps that were made while it waited here. */
  readonly waitedSteps: number;
}

export class BatchQueue {
  readonly #training: Training;
  readonly #wholeBatches: boolean;
  /** Batches of each site that were not taken. */
  readonly #left: Batch[][];
  #taken: Taken;
  /** For each step of the epoch, how many messages had come before it was made. */
  readonly #arrivals: number[] = [];
  /** Sites whose next batch is watched for. */
  readonly #watched = new Set<number>();
  /** Answers that their sites have not taken: a window's for each, at most. */
  #unread = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  /** `wholeBatches`: only what has come whole is taken. Else a batch is whose first message is here, and the rest is waited for. */
  constructor(training: Training, epoch: number, wholeBatches: boolean) {
    const { links, schedule } = training.options;
    this.#training = training;
    this.#wholeBatches = wholeBatches;
    this.#left = links.map((_, site) => [...schedule.batches(site, epoch)]);
    this.#taken = nothingTaken(schedule.counts);
  }

  /** Takes the next batch, waiting for one. Throws as a link's `receive` does when nobody has one and a site is lost. */
  async next(): Promise<FromQueue> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      const waiting = this.#left.flatMap((_, site) => this.#waiting(site) ?? []);
      if (waiting.length > 0) return this.#take(waiting);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        for (const [site, left] of this.#left.entries()) if (left.length > 0) this.#watch(site);
      });
    }
  }

  /** An answer is on its way until `delivered` resolves. Nobody waits for that before the epoch's end. */
  deliver(delivered: Promise<void>): void {
    this.#unread += 1;
    delivered.then(
      () => {
        this.#unread -= 1;
        this.#wake();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Resolves when every site has taken what it was sent. */
  async delivered(): Promise<void> {
    while (this.#unread > 0 && !this.#failure) await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#failure) throw this.#failure.error;
  }

  #waiting(site: number): Waiting | undefined {
    const batch = this.#left[site]?.[0];
    if (!batch) return undefined;
    const arrival = this.#training.link(site).arrivalOf(this.#messagesOf(batch) - 1);
    return arrival === undefined ? undefined : { site, arrival, records: batch.count };
  }

  #messagesOf(batch: Batch): number {
    const { plan } = this.#training.options;
    return this.#wholeBatches ? piecesOf(plan, 0, batch.count).length : 1;
  }

  #take(waiting: readonly Waiting[]): FromQueue {
    const { discipline = 'fifo' } = this.#training.options.plan.training;
    const { next, taken } = takeNext(discipline, waiting, this.#taken);
    this.#taken = taken;
    const batch = this.#left[next.site]?.shift() as Batch;
    const before = this.#arrivals.findLastIndex((arrivals) => arrivals <= next.arrival);
    const waitedSteps = this.#arrivals.length - 1 - before;
    this.#arrivals.push(arrivalsSoFar());
    return { site: next.site, batch, waitedSteps };
  }

  /** Wakes `next` when the site's batch is there. A lost site ends the study only once nobody else has had a batch meanwhile. */
  #watch(site: number): void {
    const batch = this.#left[site]?.[0];
    if (!batch || this.#watched.has(site)) return;
    const before = this.#arrivals.length;
    this.#watched.add(site);
    this.#training
      .link(site)
      .awaitMessages(this.#messagesOf(batch))
      .then(
        () => this.#unwatch(site),
        (error: unknown) => {
          const isLate = error instanceof TimeoutError || (error instanceof GoingBack && error.straggler !== undefined);
          if (isLate && this.#arrivals.length > before) this.#unwatch(site);
          else this.#fail(error);
        },
      );
  }

  #unwatch(site: number): void {
    this.#watched.delete(site);
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }
}
