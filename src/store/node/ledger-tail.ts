// What stands in a ledger after its head: entries that were not signed yet when the process, or the machine, stopped.

import { DataError } from '../../base/index.ts';
import { nextEntry } from './ledger-chain.ts';
import { linesOf, segmentBytes, segmentsOf } from './ledger-files.ts';
import type { Head } from './ledger-format.ts';

/** Where the whole entries of a ledger end. */
export interface Tail {
  readonly entries: number;
  readonly hash: string;
  readonly segment: number;
  readonly bytes: number;
  /** What follows in the files and is no entry. */
  readonly brokenBytes: number;
}

/**
 * Reads from the head on. Throws DataError `bad-file` for a ledger that is shorter than its head says, or goes on after it was closed:
 * neither is left by a crash.
 */
export async function readTail(folder: string, head: Head): Promise<Tail> {
  if ((await segmentBytes(folder, head.segment)) < head.bytes)
    throw new DataError(
      'bad-file',
      `${folder}: the ledger does not reach to its head, which is over ${head.entries} entries: see septum ledger verify`,
    );
  let { entries, hash, segment, bytes } = head;
  let brokenBytes = 0;
  for (const next of (await segmentsOf(folder)).filter((first) => first >= head.segment)) {
    const from = next === head.segment ? head.bytes : 0;
    const follows = brokenBytes === 0 && (next === head.segment || next === entries + 1);
    let end = from;
    if (follows) {
      for await (const line of linesOf(folder, next, { from })) {
        const found = nextEntry(line, { entries, hash });
        if (found.problem !== undefined) break;
        ({ hash } = found);
        entries += 1;
        ({ end } = line);
      }
      [segment, bytes] = [next, end];
    }
    brokenBytes += (await segmentBytes(folder, next)) - end;
  }
  if (head.closed && (entries > head.entries || brokenBytes > 0))
    throw new DataError('bad-file', `${folder}: the ledger goes on after it was closed: see septum ledger verify`);
  return { entries, hash, segment, bytes, brokenBytes };
}
