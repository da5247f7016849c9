// Lets frames through in order while few enough bytes and frames are outstanding, and makes the others wait.

import { abortReason, TransportError } from '../base/index.ts';
import type { TransportLimits } from './transport.ts';

interface Waiter {
  readonly bytes: number;
  readonly start: () => void;
  readonly settle: (error?: Error) => void;
}

export class SendGate {
  readonly #limits: TransportLimits;
  readonly #waiting: Waiter[] = [];
  #bytes = 0;
  #frames = 0;
  #closed: TransportError | undefined;

  constructor(limits: TransportLimits) {
    this.#limits = limits;
  }

  /**
   * Calls `start` when `bytes` more may be outstanding, in the order of the calls, and then resolves. One frame may always be
   * outstanding. Rejects with what `start` throws, with TransportError after `close`, with `refused` when too many wait.
   */
  enter(bytes: number, start: () => void, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw abortReason(signal);
      if (this.tryEnter(bytes, start)) {
        resolve();
        return;
      }
      if (this.#waiting.length >= this.#limits.backlogFramesMax)
        throw new TransportError('refused', `${this.#waiting.length} sends wait already; await each before the next`);
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        waiter.settle(abortReason(signal!));
        this.#admitWaiting();
      };
      const waiter: Waiter = {
        bytes,
        start,
        settle: (error) => {
          signal?.removeEventListener('abort', onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  /** `enter` for what need not wait: false when it would have to, and then nothing has happened. Throws what `enter` rejects with. */
  tryEnter(bytes: number, start: () => void): boolean {
    if (this.#closed) throw this.#closed;
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) return false;
    this.#admit(bytes, start);
    return true;
  }

  /** One frame of `bytes` is outstanding no more. */
  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.#frames -= 1;
    this.#admitWaiting();
  }

  /** Rejects all that wait and all that come. A second call does nothing. */
  close(error: TransportError): void {
    if (this.#closed) return;
    this.#closed = error;
    for (const waiter of this.#waiting.splice(0)) waiter.settle(error);
  }

  #hasRoom(bytes: number): boolean {
    const { backlogBytesMax, backlogFramesMax } = this.#limits;
    return this.#frames === 0 || (this.#bytes + bytes <= backlogBytesMax && this.#frames < backlogFramesMax);
  }

  #admit(bytes: number, start: () => void): void {
    this.#bytes += bytes;
    this.#frames += 1;
    try {
      start();
    } catch (error) {
      this.#bytes -= bytes;
      this.#frames -= 1;
      throw error;
    }
  }

  #admitWaiting(): void {
    for (let next = this.#waiting[0]; next && this.#hasRoom(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      try {
        this.#admit(next.bytes, next.start);
        next.settle();
      } catch (error) {
        next.settle(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}
