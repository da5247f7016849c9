// A log of JSON entries, one a line, only ever appended to.

import type { Json } from './json.ts';

export interface Log extends AsyncDisposable {
  /**
   * Adds an entry. Entries keep the order of the calls. Resolves at once while the buffer has room, else when it was written out.
   * Throws DataError `bad-data` for what JSON cannot hold, `bad-file` when the log cannot be written or is closed.
   */
  write(entry: Json): Promise<void>;
  /** Resolves when every entry so far would survive a crash of the machine. */
  sync(): Promise<void>;
  /** Writes out what is buffered. A second call does nothing. */
  close(): Promise<void>;
}
