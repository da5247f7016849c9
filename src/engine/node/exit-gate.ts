// A process must not end while a thread of it is inside ONNX Runtime's addon: the addon then finds its thread stopped, throws where
// no one catches, and the process aborts with SIGABRT instead of its own exit code. So every native call of an engine's thread goes
// through a gate, and the exiting process first closes the gate and waits for the call that is under way.
//
// Both sides write their own word before they read the other's (Dekker), so either the thread sees the gate closed or the process
// sees the thread inside.

import type { Worker } from 'node:worker_threads';

const INSIDE = 0;
const CLOSED = 1;

/** How long an exiting process waits for one thread: longer than any step that Septum trains. */
const WAIT_MS_MAX = 30_000;

/** What both sides see. */
export type GateWords = Int32Array<SharedArrayBuffer>;

const guarded = new Set<GateWords>();

/** The thread's side: every native call goes through it. */
export class ExitGate {
  readonly #words: GateWords;

  constructor(words: GateWords) {
    this.#words = words;
  }

  /** Makes a native call. Once the process is exiting it stops this thread instead, for good. */
  through<Result>(call: () => Result): Result {
    const words = this.#words;
    Atomics.store(words, INSIDE, 1);
    if (Atomics.load(words, CLOSED) === 1) {
      this.#leave();
      Atomics.wait(words, CLOSED, 1);
    }
    try {
      return call();
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    Atomics.store(this.#words, INSIDE, 0);
    Atomics.notify(this.#words, INSIDE);
  }
}

/** The words of a new gate. */
export function gateWords(): GateWords {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** The process's side: its exit waits for the native call that `worker` is in. */
export function guardExit(worker: Worker, words: GateWords): void {
  if (guarded.size === 0) process.on('exit', closeAll);
  guarded.add(words);
  worker.once('exit', () => {
    guarded.delete(words);
    if (guarded.size === 0) process.off('exit', closeAll);
  });
}

function closeAll(): void {
  for (const words of guarded) Atomics.store(words, CLOSED, 1);
  for (const words of guarded) Atomics.wait(words, INSIDE, 1, WAIT_MS_MAX);
}
