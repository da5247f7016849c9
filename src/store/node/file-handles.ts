// Files kept open for reading, at most so many at a time.

import { open, type FileHandle } from 'node:fs/promises';

interface Entry {
  readonly opening: Promise<FileHandle>;
  users: number;
}

export class FileHandles {
  readonly #handlesMax: number;
  /** By path, least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor(handlesMax: number) {
    this.#handlesMax = handlesMax;
  }

  /** Runs `use` with the open file, which stays open for the next time while there is room. */
  async with<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
    const entry = this.#entries.get(path) ?? { opening: open(path, 'r'), users: 0 };
    this.#entries.delete(path);
    this.#entries.set(path, entry);
    entry.users += 1;
    try {
      return await use(await entry.opening);
    } finally {
      entry.users -= 1;
      await this.#trim();
    }
  }

  /** Closes a file, which is not in use. */
  async drop(path: string): Promise<void> {
    const entry = this.#entries.get(path);
    this.#entries.delete(path);
    if (entry) await closeEntry(entry);
  }

  /** Closes all; none may be in use. */
  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map(closeEntry));
  }

  async #trim(): Promise<void> {
    for (const [path, entry] of this.#entries) {
      if (this.#entries.size <= this.#handlesMax) return;
      if (entry.users > 0) continue;
      this.#entries.delete(path);
      await closeEntry(entry);
    }
  }
}

async function closeEntry(entry: Entry): Promise<void> {
  // A file that could not be opened was reported to whoever asked for it.
  const file = await entry.opening.catch(() => undefined);
  await file?.close();
}
