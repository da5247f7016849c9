// Tells all who wait that something is no longer as it was. What it is each of them looks up, and waits again if it is not what it needs.

import { Alarm, type Clock } from '../base/index.ts';

export class Changes {
  readonly #alarm: Alarm;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#alarm = new Alarm(clock, () => this.tell());
  }

  /** Resolves at the next `tell`. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves at the next `tell`, or after `ms` milliseconds, when all who wait are told. */
  nextWithin(ms: number): Promise<void> {
    this.#alarm.within(ms);
    return this.next();
  }

  tell(): void {
    this.#alarm.lift();
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** The last `tell`: nobody may wait for a time after it. */
  close(): void {
    this.tell();
    this.#alarm.close();
  }
}
