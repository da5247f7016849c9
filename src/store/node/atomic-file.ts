// Writing a file so that it is there whole or not at all, whenever the process or the machine stops.

import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SeptumError } from '../../base/index.ts';
import { syncFolder, writeAll } from './file-bytes.ts';
import { fileError } from './file-error.ts';

/** Makes a folder, and those above it, where it is not there; by default one that only its owner can look into. Throws DataError `bad-file`. */
export async function makeFolder(path: string, mode = 0o700): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw fileError(path, 'make the folder', error);
  }
}

/** What is added to a path while its file is being written. */
export const temporarySuffix = '.tmp';

/**
 * Writes text, bytes, or parts one after another to `path`, replacing what is there: to a temporary file beside it, synced,
 * renamed, the folder synced. On failure the old file stands. One writer a path. Throws DataError `bad-file`; an error of
 * Septum's own from `content` passes through.
 */
export async function atomicWriteFile(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array>,
  options: {
    readonly onPiece?: (piece: Uint8Array) => void;
    readonly trailer?: () => Uint8Array;
    /** The file's permissions; default: what the process's umask leaves. */
    readonly mode?: number;
  } = {},
): Promise<void> {
  const temporary = path + temporarySuffix;
  try {
    const file = await open(temporary, 'w', options.mode);
    try {
      const parts =
        typeof content === 'string' ? [Buffer.from(content)] : content instanceof Uint8Array ? [content] : content;
      for (const part of parts) await writeAll(file, part, null, options.onPiece);
      if (options.trailer) await writeAll(file, options.trailer());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    // The first error is the one to tell; what could not be tidied up is overwritten next time.
    await rm(temporary, { force: true }).catch(() => {});
    throw error instanceof SeptumError ? error : fileError(path, 'write', error);
  }
}
