// A wait that ends.

import { abortReason } from './abort-reason.ts';
import type { Clock } from './clock.ts';
import { TimeoutError } from './errors.ts';

/**
 * Waits for `work`, at most `ms` milliseconds. `what` names the wait in the TimeoutError: "waiting for site B's activations".
 * Work given as a function receives a signal that is aborted at the deadline or when the caller's `signal` is; work given as a promise
 * goes on unheeded after the deadline. Rejects with TimeoutError, the signal's reason, or what the work rejects with.
 */
export function withDeadline<T>(
  work: Promise<T> | ((signal: AbortSignal) => Promise<T>),
  ms: number,
  what: string,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      if (typeof work !== 'function') work.catch(() => undefined); // nobody waits for it, and its failure must not go unhandled
      reject(abortReason(signal));
      return;
    }
    const controller = new AbortController();
    const end = (error: Error): void => {
      release();
      reject(error);
      controller.abort(error);
    };
    const onAbort = (): void => end(abortReason(signal!));
    const cancel = clock.setTimer(ms, () => end(new TimeoutError(`${what}: not done within ${ms} ms`)));
    const release = (): void => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    startWork(work, controller.signal).then(
      (value) => {
        release();
        resolve(value);
      },
      (error: unknown) => {
        release();
        // oxlint-disable-next-line prefer-promise-reject-errors -- passed on as it came
        reject(error);
      },
    );
  });
}

/** A function's throw becomes a rejection. */
async function startWork<T>(work: Promise<T> | ((signal: AbortSignal) => Promise<T>), signal: AbortSignal): Promise<T> {
  return typeof work === 'function' ? work(signal) : work;
}
