// How far the training is and how fast, from the steps as they are told.

/** Records a second are taken over this long. */
const windowMs = 5000;

export class Pace {
  #total = 0;
  /** Steps that were done before the first that was told. */
  #before = 0;
  #steps = 0;
  #startMs: number | undefined;
  /** Times and records of the last steps. */
  #recent: { readonly ms: number; readonly records: number }[] = [];

  /** Says how many steps there will be. */
  expect(steps: number): void {
    this.#total = steps;
  }

  /** Says that so many steps are done already, and none since. */
  goOnFrom(steps: number): void {
    this.#before = steps;
    this.#steps = 0;
    this.#startMs = undefined;
  }

  step(records: number, nowMs: number): void {
    this.#startMs ??= nowMs;
    this.#steps += 1;
    const last = this.#recent.at(-1);
    // Steps come in bundles; those of one moment are one entry.
    if (last && nowMs - last.ms < 50)
      this.#recent[this.#recent.length - 1] = { ms: last.ms, records: last.records + records };
    else this.#recent.push({ ms: nowMs, records });
    const oldest = this.#recent.findIndex(({ ms }) => nowMs - ms <= windowMs);
    if (oldest > 0) this.#recent.splice(0, oldest);
  }

  /** Steps done over all steps, 0 … 1. */
  get share(): number {
    return this.#total > 0 ? Math.min(1, (this.#before + this.#steps) / this.#total) : 0;
  }

  /** Records a second over the last few seconds; undefined at the start. */
  get recordsPerSecond(): number | undefined {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (!first || !last || last.ms - first.ms < 100) return undefined;
    const records = this.#recent.slice(1).reduce((sum, entry) => sum + entry.records, 0);
    return (1000 * records) / (last.ms - first.ms);
  }

  /** Seconds that are left if it goes on as so far, validation included; undefined at the start. */
  secondsLeft(nowMs: number): number | undefined {
    if (this.#startMs === undefined || this.#steps < 2 || this.#total === 0) return undefined;
    return ((nowMs - this.#startMs) / 1000 / this.#steps) * Math.max(0, this.#total - this.#before - this.#steps);
  }
}
