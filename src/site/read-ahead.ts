// Training records are read while the site's engine gets ready and before the site sends its census. Else the first epoch's steps would
// wait for the decoding of images, all of them for the slowest site's.

import type { Clock } from '../base/index.ts';
import type { OpenedData } from '../data/index.ts';

/** After this time a site goes on; what was not read by then is read with its batch. */
export const readAheadMsMost = 10_000;

export class ReadAhead {
  readonly #done: Promise<void>;
  #stopped = false;

  /** Starts reading. It ends by itself when `signal` is aborted. */
  constructor(data: OpenedData, clock: Clock, signal: AbortSignal) {
    const endMs = clock.nowMs() + readAheadMsMost;
    const mayGoOn = (): boolean => !this.#stopped && !signal.aborted && clock.nowMs() < endMs;
    this.#done = data.readAhead?.(mayGoOn) ?? Promise.resolve();
    this.#done.catch(() => undefined); // Whoever waits sees the error.
  }

  /** Waits until every training record that memory may keep is read, or the time is over. Throws DataError. */
  done(): Promise<void> {
    return this.#done;
  }

  /** Stops, and waits for what is being read. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.#done.catch(() => undefined);
  }
}
