// Where progress is shown: standard error, so that standard output holds results only. On a terminal the last line is rewritten in place.

/** Lines that stay, and on a terminal one below them that changes. */
export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #quiet: boolean;
  readonly #prefix: string;
  #shown = false;
  #shownMs = Number.NEGATIVE_INFINITY;

  /** A screen that is `still` has no line that changes. */
  constructor(
    options: {
      readonly quiet?: boolean;
      readonly still?: boolean;
      readonly prefix?: string;
      readonly stream?: NodeJS.WriteStream;
    } = {},
  ) {
    this.#stream = options.stream ?? process.stderr;
    this.#live = this.#stream.isTTY && process.env['TERM'] !== 'dumb' && !options.still;
    this.#quiet = options.quiet ?? false;
    this.#prefix = options.prefix ?? '';
  }

  /** A still screen on the same stream, whose lines begin with a name. */
  of(name: string): Screen {
    return new Screen({ quiet: this.#quiet, still: true, prefix: `${name}: `, stream: this.#stream });
  }

  /** Whether there is a line that changes. */
  get live(): boolean {
    return this.#live && !this.#quiet;
  }

  /** A line that stays. */
  line(text: string): void {
    if (this.#quiet) return;
    this.#clear();
    this.#stream.write(`${this.#prefix}${text}\n`);
  }

  /** Shows the changing line, at most ten times a second. `text` is called only when it is shown. */
  show(text: () => string, nowMs: number): void {
    if (!this.live || nowMs - this.#shownMs < 100) return;
    this.#shownMs = nowMs;
    this.#clear();
    this.#stream.write(text().slice(0, Math.max(20, (this.#stream.columns || 80) - 1)));
    this.#shown = true;
  }

  /** Takes the changing line away. */
  done(): void {
    this.#clear();
  }

  #clear(): void {
    if (!this.#shown) return;
    this.#stream.write('\r\u001B[K');
    this.#shown = false;
  }
}
