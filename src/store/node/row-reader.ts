// Reads rows of fixed size from files of rows.
//
// A shuffled epoch takes every row once, so keeping recently used rows would help nobody. Instead whole files are kept in memory,
// those that are read first, as far as `cacheBytesMax` goes; the other rows are read from their files each time.

import type { FileHandle } from 'node:fs/promises';
import { readAll } from './file-bytes.ts';
import { fileError } from './file-error.ts';
import { FileHandles } from './file-handles.ts';

/** A file of rows as it stands. */
export interface RowFile {
  readonly path: string;
  /** Bytes of all its rows. */
  readonly byteLength: number;
}

/** A row that is known to be there. Rows of one file share the object. */
export interface RowPlace {
  readonly file: RowFile;
  readonly row: number;
}

interface CachedFile {
  readonly byteLength: number;
  readonly loading: Promise<Uint8Array>;
  /** Once it is loaded. */
  bytes: Uint8Array | undefined;
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
      const rows = target.subarray(at * this.#rowBytes, (at + count) * this.#rowBytes);
      const kept = this.#cache.get(first.file.path)?.bytes;
      if (kept) copyRows(kept, first.row * this.#rowBytes, rows);
      else reads.push(this.#readRows(first, rows));
      at += count;
    }
    if (reads.length === 0) return;
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

  /** Lets a file go that is not read any more. */
  async drop(path: string): Promise<void> {
    this.forget(path);
    await this.#files.drop(path);
  }

  /** Waits for what is being read, and closes the files. */
  async close(): Promise<void> {
    await Promise.all(this.#reading);
    this.#cache.clear();
    await this.#files.close();
  }

  async #readRows({ file, row }: RowPlace, target: Uint8Array): Promise<void> {
    const start = row * this.#rowBytes;
    try {
      const cached = this.#cache.get(file.path) ?? this.#keep(file);
      if (cached) copyRows(await cached.loading, start, target);
      else await this.#files.with(file.path, (handle) => readAll(handle, target, start));
    } catch (error) {
      throw fileError(file.path, `read row ${row}`, error);
    }
  }

  /** Begins to keep a whole file in memory, if there is room. */
  #keep({ path, byteLength }: RowFile): CachedFile | undefined {
    if (this.#cacheBytes + byteLength > this.#cacheBytesMax) return undefined;
    const load = async (handle: FileHandle): Promise<Uint8Array> => {
      const bytes = new Uint8Array(byteLength);
      await readAll(handle, bytes, 0);
      return bytes;
    };
    const cached: CachedFile = { byteLength, loading: this.#files.with(path, load), bytes: undefined };
    this.#cache.set(path, cached);
    this.#cacheBytes += byteLength;
    cached.loading.then(
      (bytes) => (cached.bytes = bytes),
      // The readers hear of the error; the next one tries again.
      () => {
        if (this.#cache.get(path) === cached) this.forget(path);
      },
    );
    return cached;
  }
}

function copyRows(source: Uint8Array, start: number, target: Uint8Array): void {
  target.set(source.subarray(start, start + target.byteLength));
}

function isAfter(first: RowPlace, count: number, next: RowPlace): boolean {
  return next.file === first.file && next.row === first.row + count;
}
