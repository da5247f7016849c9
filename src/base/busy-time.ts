// How long something was at work, where work may overlap: what runs side by side counts once.

export class BusyTime {
  readonly #nowMs: () => number;
  #ms = 0;
  #running = 0;
  #sinceMs = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Milliseconds in which some work ran that has ended with all beside it. */
  get ms(): number {
    return this.#ms;
  }

  /** Does the work, and counts its time. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running++ === 0) this.#sinceMs = this.#nowMs();
    try {
      return await work();
    } finally {
      if (--this.#running === 0) this.#ms += this.#nowMs() - this.#sinceMs;
    }
  }
}
