// A log in memory, for tests.

import { DataError } from '../base/index.ts';
import { encodeJson, type Json } from './json.ts';
import type { Log } from './log.ts';

/** A log whose entries can be looked at. */
export interface MemoryLog extends Log {
  readonly entries: readonly Json[];
}

export function createMemoryLog(): MemoryLog {
  const entries: Json[] = [];
  let closed = false;
  const close = async (): Promise<void> => {
    closed = true;
  };
  const checkOpen = (): void => {
    if (closed) throw new DataError('bad-file', 'the log is closed');
  };
  return {
    entries,
    write: async (entry) => {
      checkOpen();
      entries.push(JSON.parse(encodeJson(entry)) as Json);
    },
    sync: async () => checkOpen(),
    close,
    [Symbol.asyncDispose]: close,
  };
}
