// What has arrived and was not yet taken, in order: frames of a connection, or connections of a listener.

import { abortReason, assert, type TransportError } from '../base/index.ts';

interface Taker<T> {
  readonly give: (item: T | undefined) => void;
  readonly fail: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
}

export class Inbox<T> {
  readonly #items: T[] = [];
  readonly #onTaken: (item: T) => void;
  #taker: Taker<T> | undefined;
  /** The signal that is listened to: one for many items, as a rule. */
  #signal: AbortSignal | undefined;
  #ended = false;
  #error: TransportError | undefined;

  /** `onTaken` is called for each item that `take` gives out. */
  constructor(onTaken: (item: T) => void) {
    this.#onTaken = onTaken;
  }

  get count(): number {
    return this.#items.length;
  }

  /** Adds an item; after the end it is dropped. */
  put(item: T): void {
    if (this.#ended) return;
    const taker = this.#taker;
    if (taker) {
      this.#taker = undefined;
      taker.give(item);
      this.#onTaken(item);
    } else {
      this.#items.push(item);
    }
  }

  /** The next item; after the last one `undefined`, or the error it ended with. One call at a time. */
  take(signal?: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      assert(!this.#taker, 'a second receive or accept began before the first had ended');
      if (signal?.aborted) throw abortReason(signal);
      const item = this.#items.shift();
      if (item !== undefined) {
        resolve(item);
        this.#onTaken(item);
        return;
      }
      if (this.#ended) {
        if (this.#error) reject(this.#error);
        else resolve(undefined);
        return;
      }
      this.#listenTo(signal);
      this.#taker = { give: resolve, fail: reject, signal };
    });
  }

  /** No more will come. Items that are here can still be taken. A second call does nothing. */
  end(error?: TransportError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#listenTo(undefined);
    const taker = this.#taker;
    this.#taker = undefined;
    if (error) taker?.fail(error);
    else taker?.give(undefined);
  }

  /** Ends in order and gives up what is here, which is returned. */
  clear(): T[] {
    this.end();
    this.#error = undefined;
    return this.#items.splice(0);
  }

  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#signal) return;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    signal?.addEventListener('abort', this.#onAbort);
    this.#signal = signal;
  }

  readonly #onAbort = (): void => {
    const taker = this.#taker;
    if (!taker?.signal?.aborted) return;
    this.#taker = undefined;
    taker.fail(abortReason(taker.signal));
  };
}
