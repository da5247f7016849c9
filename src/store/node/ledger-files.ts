// Reading a ledger's files, line by line, in bounded memory.

import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../base/index.ts';
import { fileError, isMissing } from './file-error.ts';
import { decodeTip, firstEntryOf, type Tip, tipName, lineBytesMax, volumeName } from './ledger-format.ts';

/** A line of a ledger without its newline, and where it ends. */
export interface LedgerLine {
  readonly volume: number;
  /** The position after its newline. */
  readonly end: number;
  /** False for what stands at the end of a file without a newline, or is longer than any entry. */
  readonly whole: boolean;
  readonly bytes: Uint8Array;
}

/** The files of a ledger by their first entries, in order; none where there is no such folder. Throws DataError `bad-file`. */
export async function volumesOf(folder: string): Promise<readonly number[]> {
  try {
    const names = await readdir(folder);
    return names.flatMap((name) => firstEntryOf(name) ?? []).sort((a, b) => a - b);
  } catch (error) {
    if (isMissing(error)) return [];
    throw fileError(folder, 'list', error);
  }
}

/** The length of a ledger's file; 0 when it is not there. Throws DataError `bad-file`. */
export async function volumeBytes(folder: string, volume: number): Promise<number> {
  const path = join(folder, volumeName(volume));
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw fileError(path, 'read', error);
  }
}

/** The tip of the ledger in a folder; undefined when there is none. Throws DataError `bad-file`. */
export async function readTip(folder: string): Promise<Tip | undefined> {
  const path = join(folder, tipName);
  try {
    return decodeTip(await readFile(path, 'utf8'), path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error instanceof DataError ? error : fileError(path, 'read', error);
  }
}

const blockBytes = 256 * 1024;
const newline = 0x0a;

/** The lines of a file between two positions. After one that is not whole none follows. Throws DataError `bad-file`. */
export async function* linesOf(
  folder: string,
  volume: number,
  { from = 0, to = Number.POSITIVE_INFINITY } = {},
): AsyncGenerator<LedgerLine> {
  const path = join(folder, volumeName(volume));
  try {
    await using file = await open(path, 'r');
    let rest: Buffer = Buffer.alloc(0);
    for (let position = from; ;) {
      const wanted = Math.min(blockBytes, to - position);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, position);
      const block = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const blockStart = position - rest.length;
      let start = 0;
      for (let end = block.indexOf(newline); end !== -1; end = block.indexOf(newline, start)) {
        yield { volume, end: blockStart + end + 1, whole: true, bytes: block.subarray(start, end) };
        start = end + 1;
      }
      rest = block.subarray(start);
      position += bytesRead;
      if (rest.length > lineBytesMax || (bytesRead === 0 && rest.length > 0)) {
        yield { volume, end: position, whole: false, bytes: rest };
        return;
      }
      if (bytesRead === 0) return;
    }
  } catch (error) {
    throw fileError(path, 'read', error);
  }
}
