// What stands in a ledger after its tip: entries that were not signed yet when the process, or the machine, stopped.

import { DataError } from '../../base/index.ts';
import { nextEntry } from './ledger-chain.ts';
import { linesOf, volumeBytes, volumesOf } from './ledger-files.ts';
import type { Tip } from './ledger-format.ts';

/** Where the whole entries of a ledger end. */
export interface Tail {
  readonly entries: number;
  readonly hash: string;
  readonly volume: number;
  readonly bytes: number;
  /** What follows in the files and is no entry. */
  readonly brokenBytes: number;
}

/**
 * Reads from the tip on. Throws DataError `bad-file` for a ledger that is shorter than its tip says, or goes on after it was closed:
 * neither is left by a crash.
 */
export async function readTail(folder: string, tip: Tip): Promise<Tail> {
  if ((await volumeBytes(folder, tip.volume)) < tip.bytes)
    throw new DataError(
      'bad-file',
      `${folder}: the ledger does not reach to its tip, which is over ${tip.entries} entries: see septum ledger verify`,
    );
  let { entries, hash, volume, bytes } = tip;
  let brokenBytes = 0;
  for (const next of (await volumesOf(folder)).filter((first) => first >= tip.volume)) {
    const from = next === tip.volume ? tip.bytes : 0;
    const follows = brokenBytes === 0 && (next === tip.volume || next === entries + 1);
    let end = from;
    if (follows) {
      for await (const line of linesOf(folder, next, { from })) {
        const found = nextEntry(line, { entries, hash });
        if (found.problem !== undefined) break;
        ({ hash } = found);
        entries += 1;
        ({ end } = line);
      }
      [volume, bytes] = [next, end];
    }
    brokenBytes += (await volumeBytes(folder, next)) - end;
  }
  if (tip.closed && (entries > tip.entries || brokenBytes > 0))
    throw new DataError('bad-file', `${folder}: the ledger goes on after it was closed: see septum ledger verify`);
  return { entries, hash, volume, bytes, brokenBytes };
}
