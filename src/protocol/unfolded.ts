// Scripts within scripts. `yield*` goes through every generator between the reader and the line, for each line, which for a small network is
// felt; here only the innermost is resumed.

import type { Exchange } from './lines.ts';

/** Lines, and scripts that stand for all of theirs. */
export type Script = Generator<Exchange | Script, void, undefined>;

/** The lines of a script and of those within it, in order. */
export class Unfolded implements IterableIterator<Exchange> {
  readonly #open: Script[];

  constructor(script: Script) {
    this.#open = [script];
  }

  next(): IteratorResult<Exchange, void> {
    for (;;) {
      const innermost = this.#open.at(-1);
      if (!innermost) return { done: true, value: undefined };
      const step = innermost.next();
      if (step.done === true) this.#open.pop();
      else if ('kind' in step.value) return { done: false, value: step.value };
      else this.#open.push(step.value);
    }
  }

  [Symbol.iterator](): this {
    return this;
  }
}
