// Whole reads and writes on an open file. Node may read or write less than it was asked to; these go on until all is done.

import { open, type FileHandle } from 'node:fs/promises';
import { DataError } from '../../base/index.ts';

/** Largest piece handed to the system at once, so that hashing and other work come in between. */
const pieceBytes = 4 * 2 ** 20;

/** Writes at the file's position (or at `position`), calling `onPiece` with each piece while it is written. */
export async function writeAll(
  file: FileHandle,
  bytes: Uint8Array,
  position: number | null = null,
  onPiece: (piece: Uint8Array) => void = () => {},
): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const piece = bytes.subarray(done, done + pieceBytes);
    const writing = file.write(piece, 0, piece.byteLength, position === null ? null : position + done);
    onPiece(piece);
    const { bytesWritten } = await writing;
    for (let rest = bytesWritten; rest < piece.byteLength;) {
      const again = await file.write(
        piece,
        rest,
        piece.byteLength - rest,
        position === null ? null : position + done + rest,
      );
      rest += again.bytesWritten;
    }
    done += piece.byteLength;
  }
}

/** Fills `bytes` from `position` on, calling `onPiece` with each piece while the next is read. Throws DataError `bad-file` when the file ends before. */
export async function readAll(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  onPiece: (piece: Uint8Array) => void = () => {},
): Promise<void> {
  let piece: Uint8Array = new Uint8Array();
  for (let done = 0; done < bytes.byteLength;) {
    const length = Math.min(pieceBytes, bytes.byteLength - done);
    const reading = file.read(bytes, done, length, position + done);
    if (piece.byteLength > 0) onPiece(piece);
    const { bytesRead } = await reading;
    if (bytesRead === 0) throw new DataError('bad-file', `it ends at byte ${position + done}, before its content does`);
    piece = bytes.subarray(done, done + bytesRead);
    done += bytesRead;
  }
  if (piece.byteLength > 0) onPiece(piece);
}

/** Makes the names in a folder durable. Windows has no such call and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
