// A deadline that is set and lifted far more often than it passes: each message of a training step has one. Setting it writes a number; a
// timer is made only when none runs that is due early enough, and is left to run when the deadline is lifted.

import type { Clock } from './clock.ts';

export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #dueMs = Number.POSITIVE_INFINITY;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  /** `ring` is called at the deadline, which is then lifted. */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Sets the deadline `ms` milliseconds from now, unless an earlier one stands. */
  within(ms: number): void {
    const dueMs = this.#clock.nowMs() + ms;
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    if (!this.#timer || this.#timer.atMs > dueMs) this.#start();
  }

  /** Lifts the deadline. */
  lift(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  /** Lifts the deadline and leaves no timer, which would keep the process alive. */
  close(): void {
    this.lift();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #start(): void {
    this.#timer?.cancel();
    const atMs = this.#dueMs;
    this.#timer = { atMs, cancel: this.#clock.setTimer(atMs - this.#clock.nowMs(), () => this.#ended()) };
  }

  #ended(): void {
    this.#timer = undefined;
    if (this.#dueMs === Number.POSITIVE_INFINITY) return;
    if (this.#clock.nowMs() < this.#dueMs) {
      this.#start();
      return;
    }
    this.lift();
    this.#ring();
  }
}
