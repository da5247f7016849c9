// Time, handed in: portable code never reads a clock or sets a timer of its own, so a test can move time by hand.

import { abortReason } from './abort-reason.ts';

export interface Clock {
  /** Milliseconds since some fixed moment; never runs backwards. For durations and deadlines, not for dates. */
  nowMs(): number;
  /** Calls `call` once, about `ms` milliseconds from the call, unless the returned function was called before. */
  setTimer(ms: number, call: () => void): () => void;
  /** Resolves after `ms` milliseconds. Rejects with the signal's reason when it is aborted before. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** `sleep` for a clock that has the rest. */
export function sleepWith(
  setTimer: (ms: number, call: () => void) => () => void,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(abortReason(signal!));
    };
    const cancel = setTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

interface FakeTimer {
  readonly atMs: number;
  readonly call: () => void;
}

/** A clock that stands still until it is told to move: for tests and simulations. Starts at 0. */
export class FakeClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<FakeTimer>();

  nowMs(): number {
    return this.#nowMs;
  }

  /** Timers that are set and have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  setTimer(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), call };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepWith((delayMs, call) => this.setTimer(delayMs, call), ms, signal);
  }

  /** Moves time on by `ms`, running due timers in the order of their time, then of their setting; what they start is run as well. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      let next: FakeTimer | undefined;
      for (const timer of this.#timers) {
        if (timer.atMs <= endMs && (!next || timer.atMs < next.atMs)) next = timer;
      }
      if (!next) break;
      this.#timers.delete(next);
      this.#nowMs = next.atMs;
      next.call();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Lets chains of settled promises, as far as a few dozen links, run out. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
