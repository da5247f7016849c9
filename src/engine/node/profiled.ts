// A session that profiles: ONNX Runtime writes when each operator ran, by a clock of its own that starts at some moment while the session
// is made. So that others can put it on the machine's clock, the first runs' starts by that one are written beside it.

import { writeFileSync } from 'node:fs';
import type { Session } from './session.ts';

/** Of so many runs the start is kept. The clocks' difference follows from the one that began with the least delay. */
const startsMost = 200;

let count = 0;

export class Profiled {
  /** What the name of the file begins with: the prefix, then `~` and a number, the session's threads and its graph. */
  readonly file: string;
  readonly #startsUs: number[] = [];

  constructor(prefix: string, graph: string, threads: number) {
    this.file = `${prefix}~${count++}~${threads}~${encodeURIComponent(graph)}~`;
  }

  /** Has the session's runs noted. */
  watch(session: Session): void {
    session.onRun = () => {
      if (this.#startsUs.length < startsMost) this.#startsUs.push(Number(process.hrtime.bigint() / 1000n));
    };
  }

  /** Writes the starts: microseconds of the machine's monotonic clock just before each of the first runs. */
  close(): void {
    writeFileSync(`${this.file}starts.json`, JSON.stringify(this.#startsUs));
  }
}
