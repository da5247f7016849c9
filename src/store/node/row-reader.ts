// Reads rows of fixed size from files of rows.
//
// A shuffled epoch takes every row once, so keeping recently used rows would help nobody. Instead whole files are kept in memory,
// those that are read first, as far as `cacheBytesMax` goes; the other rows are read from their files each time.

import type { FileHandle } from 'node:fs/promises';
import { readAll } from './file-bytes.ts';
import { fileError } from './file-error.ts';
import { FileHandles } from './file-handles.ts';

/** A row that is known to be there. */
export interface RowPlace {
  readonly path: string;
  /** Bytes of all rows of the file. */
  readonly fileBytes: number;
  readonly row: number;
}

interface CachedFile {
  readonly byteLength: number;
  readonly bytes: Promise<Uint8Array>;
}

export class RowReader {
  readonly #rowBytes: number;
  readonly #cacheBytesMax: number;
  readonly #files: FileHandles;
  readonly #cache = new Map<string, CachedFile>();
  readonly #reading = new Set<Promise<unknown>>();
  #cacheBytes = 0;

  constructor(rowBytes: number, cacheBytesMax: number, filesMax: number) {
    this.#rowBytes = rowBytes;
    this.#cacheBytesMax = cacheBytesMax;
    this.#files = new FileHandles(filesMax);
  }

  /** Fills `target` with the rows one after another. Throws DataError `bad-file`. */
  async read(target: Uint8Array, places: readonly RowPlace[]): Promise<void> {
    const reads: Promise<void>[] = [];
    for (let at = 0; at < places.length;) {
      const first = places[at]!;
      let count = 1;
      // Neighbours in the file that are neighbours in the batch are one read.
      for (let next = places[at + 1]; next && isAfter(first, count, next); next = places[at + count]) count += 1;
      reads.push(this.#readRows(first, target.subarray(at * this.#rowBytes, (at + count) * this.#rowBytes)));
      at += count;
    }
    const all = Promise.allSettled(reads);
    this.#reading.add(all);
    const failed = (await all).find((result) => result.status === 'rejected');
    this.#reading.delete(all);
    if (failed) throw failed.reason;
  }

  /** Forgets what is kept of a file, which is about to change. */
  forget(path: string): void {
    this.#cacheBytes -= this.#cache.get(path)?.byteLength ?? 0;
    this.#cache.delete(path);
  }

  /** Waits for what is being read, and closes the files. */
  async close(): Promise<void> {
    await Promise.all(this.#reading);
    this.#cache.clear();
    await this.#files.close();
  }

  async #readRows(place: RowPlace, target: Uint8Array): Promise<void> {
    const start = place.row * this.#rowBytes;
    try {
      const cached = this.#cache.get(place.path) ?? this.#keep(place);
      if (cached) target.set((await cached.bytes).subarray(start, start + target.byteLength));
      else await this.#files.with(place.path, (file) => readAll(file, target, start));
    } catch (error) {
      throw fileError(place.path, `read row ${place.row}`, error);
    }
  }

  /** Begins to keep a whole file in memory, if there is room. */
  #keep({ path, fileBytes }: RowPlace): CachedFile | undefined {
    if (this.#cacheBytes + fileBytes > this.#cacheBytesMax) return undefined;
    const load = async (file: FileHandle): Promise<Uint8Array> => {
      const bytes = new Uint8Array(fileBytes);
      await readAll(file, bytes, 0);
      return bytes;
    };
    const cached = { byteLength: fileBytes, bytes: this.#files.with(path, load) };
    this.#cache.set(path, cached);
    this.#cacheBytes += fileBytes;
    // The readers hear of the error; the next one tries again.
    cached.bytes.catch(() => {
      if (this.#cache.get(path) === cached) this.forget(path);
    });
    return cached;
  }
}

function isAfter(first: RowPlace, count: number, next: RowPlace): boolean {
  return next.path === first.path && next.row === first.row + count;
}
