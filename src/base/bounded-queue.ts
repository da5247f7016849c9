// A first-in-first-out queue between asynchronous tasks, with a bound: who pushes into a full queue waits.

import { abortReason } from './abort-reason.ts';
import { assert, SeptumError } from './errors.ts';

/**
 * Items come out in the order in which `push` was called; waiting pushes and waiting pops are served in their order.
 * After `close` a push rejects (a waiting one too, and its item is not taken); pops take what is left, then give `undefined`, or reject
 * with the error that the queue was closed with.
 */
export class BoundedQueue<T extends object | string | number | boolean> implements AsyncIterable<T> {
  readonly capacity: number;
  readonly #items: T[] = [];
  readonly #pushers = new Line<T, void>();
  readonly #poppers = new Line<undefined, T | undefined>();
  #closed = false;
  #error: Error | undefined;

  constructor(capacity: number) {
    assert(Number.isInteger(capacity) && capacity >= 1, `queue capacity ${capacity}`);
    this.capacity = capacity;
  }

  /** Items that are in the queue; those of waiting pushes not counted. */
  get length(): number {
    return this.#items.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the queue has taken the item. Rejects with the signal's reason (the item is then not taken), or after `close`. */
  async push(item: T, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw abortReason(signal);
    if (this.#closed) throw this.#closedError();
    const popper = this.#poppers.next();
    if (popper) popper.serve(item);
    else if (this.#items.length < this.capacity) this.#items.push(item);
    else await this.#pushers.wait(item, signal);
  }

  /** The next item, waiting for one; `undefined` once the queue is closed and empty. Rejects with the signal's reason or the error of `close`. */
  async pop(signal?: AbortSignal): Promise<T | undefined> {
    if (signal?.aborted) throw abortReason(signal);
    const item = this.#items.shift();
    if (item !== undefined) {
      const pusher = this.#pushers.next();
      if (pusher) {
        this.#items.push(pusher.brought);
        pusher.serve();
      }
      return item;
    }
    if (!this.#closed) return this.#poppers.wait(undefined, signal);
    if (this.#error) throw this.#error;
    return undefined;
  }

  /** No more items. A second call does nothing. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    for (let pusher = this.#pushers.next(); pusher; pusher = this.#pushers.next()) pusher.fail(this.#closedError());
    for (let popper = this.#poppers.next(); popper; popper = this.#poppers.next()) {
      if (error) popper.fail(error);
      else popper.serve(undefined);
    }
  }

  /** The items as they come, until the queue is closed and empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const item = await this.pop();
      if (item === undefined) return;
      yield item;
    }
  }

  #closedError(): Error {
    return new SeptumError('queue-closed', 'the queue is closed', { cause: this.#error });
  }
}

/** A waiting call: what it brought, and how it ends. Either end takes it out of its line. */
interface Waiter<B, V> {
  readonly brought: B;
  serve(value: V): void;
  fail(error: Error): void;
}

/** Calls that wait, in their order. */
class Line<B, V> {
  readonly #waiters = new Set<Waiter<B, V>>();

  /** The one that has waited longest. */
  next(): Waiter<B, V> | undefined {
    for (const waiter of this.#waiters) return waiter;
    return undefined;
  }

  wait(brought: B, signal: AbortSignal | undefined): Promise<V> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter<B, V> = {
        brought,
        serve(value) {
          leave();
          resolve(value);
        },
        fail(error) {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.fail(abortReason(signal!));
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
