// Commits as files `NAME.INDEX.commit` in one folder, in the form that container.ts states. Several processes may share a folder,
// each with names of its own.

import { createHash } from 'node:crypto';
import { open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, assert } from '../../base/index.ts';
import { allocate, elementCount, tensor, type Tensor } from '../../tensor/index.ts';
import { checkStoreName, commitsKept, type Commit, type CommitStore, type FoundCommit } from '../commit-store.ts';
import {
  containerParts,
  containerPreambleBytes,
  containerTrailerBytes,
  readContainerHead,
  readContainerPreamble,
} from '../container.ts';
import { atomicWriteFile, makeFolder, temporarySuffix } from './atomic-file.ts';
import { readAll, syncFolder } from './file-bytes.ts';
import { fileError, isMissing } from './file-error.ts';

const indexDigits = 12;

/** A store in `folder`, which is made if need be. Throws DataError `bad-file` when it cannot be. */
export async function openFileCommitStore(folder: string): Promise<CommitStore> {
  await makeFolder(folder);
  return new FileCommitStore(folder);
}

class FileCommitStore implements CommitStore {
  readonly #folder: string;
  readonly #writing = new Map<string, Promise<void>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  write(name: string, commit: Commit): Promise<void> {
    const before = this.#writing.get(name) ?? Promise.resolve();
    const writing = before.catch(() => {}).then(() => this.#write(name, commit));
    this.#writing.set(name, writing);
    return writing;
  }

  async latest(name: string): Promise<FoundCommit> {
    const problems: string[] = [];
    for (const index of (await this.list(name)).toReversed()) {
      try {
        const commit = await this.read(name, index);
        if (commit) return { commit, problems };
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        problems.push(error.message);
      }
    }
    return { commit: undefined, problems };
  }

  async read(name: string, index: number): Promise<Commit | undefined> {
    const path = this.#path(name, index);
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw fileError(path, 'read', error);
    }
    try {
      const commit = await readCommit(file);
      if (commit.index !== index) throw new DataError('bad-file', `it holds commit ${commit.index}`);
      return commit;
    } catch (error) {
      throw fileError(path, 'use this commit', error);
    } finally {
      await file.close();
    }
  }

  async list(name: string): Promise<readonly number[]> {
    checkStoreName(name);
    return (await this.#files(name, '')).map((file) => file.index).toSorted((first, second) => first - second);
  }

  async #write(name: string, commit: Commit): Promise<void> {
    const path = this.#path(name, commit.index);
    for (const { path: leftover } of await this.#files(name, temporarySuffix)) await this.#remove(leftover);
    const indices = await this.list(name);
    const abandoned = indices.filter((index) => index > commit.index);
    for (const index of abandoned) await this.#remove(this.#path(name, index));
    if (abandoned.length > 0) await syncFolder(this.#folder);

    const hash = createHash('sha256');
    await atomicWriteFile(path, containerParts(commit), {
      onPiece: (piece) => hash.update(piece),
      trailer: () => hash.digest(),
    });
    const older = indices.filter((index) => index < commit.index);
    for (const index of older.slice(0, Math.max(0, older.length - (commitsKept - 1))))
      await this.#remove(this.#path(name, index));
  }

  #path(name: string, index: number): string {
    checkStoreName(name);
    assert(
      Number.isSafeInteger(index) && index >= 0 && index < 10 ** indexDigits,
      `a commit cannot have index ${index}`,
    );
    return join(this.#folder, `${name}.${String(index).padStart(indexDigits, '0')}.commit`);
  }

  async #files(name: string, suffix: string): Promise<{ readonly path: string; readonly index: number }[]> {
    const tail = new RegExp(`^(\\d{${indexDigits}})\\.commit${suffix.replace('.', '\\.')}$`);
    const entries = await readdir(this.#folder).catch((error: unknown) => {
      throw fileError(this.#folder, 'list', error);
    });
    return entries.flatMap((entry) => {
      const index = entry.startsWith(`${name}.`) ? tail.exec(entry.slice(name.length + 1))?.[1] : undefined;
      return index === undefined ? [] : [{ path: join(this.#folder, entry), index: Number(index) }];
    });
  }

  async #remove(path: string): Promise<void> {
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fileError(path, 'remove', error);
    });
  }
}

/** Reads and checks a whole commit. Throws DataError `bad-file`. */
async function readCommit(file: FileHandle): Promise<Commit> {
  const { size } = await file.stat();
  const hash = createHash('sha256');
  const update = (piece: Uint8Array): void => void hash.update(piece);
  const preamble = new Uint8Array(containerPreambleBytes);
  await readAll(file, preamble, 0, update);
  const jsonBytes = readContainerPreamble(preamble);
  if (containerPreambleBytes + jsonBytes > size)
    throw new DataError('bad-file', `it ends at byte ${size}, within its head`);
  const json = new Uint8Array(jsonBytes);
  await readAll(file, json, containerPreambleBytes, update);
  const head = readContainerHead(json);
  const start = containerPreambleBytes + jsonBytes;
  const expected = start + head.dataBytes + containerTrailerBytes;
  if (size !== expected) throw new DataError('bad-file', `it has ${size} bytes, but its head speaks of ${expected}`);

  const tensors: [string, Tensor][] = [];
  for (const [at, { name, dtype, dims, offset, byteLength }] of head.tensors.entries()) {
    const data = allocate(dtype, elementCount(dims));
    await readAll(file, new Uint8Array(data.buffer), start + offset, update);
    const gap = new Uint8Array((head.tensors[at + 1]?.offset ?? head.dataBytes) - offset - byteLength);
    await readAll(file, gap, start + offset + byteLength, update);
    tensors.push([name, tensor(dtype, dims, data)]);
  }
  const trailer = Buffer.alloc(containerTrailerBytes);
  await readAll(file, trailer, start + head.dataBytes);
  if (!hash.digest().equals(trailer)) throw new DataError('bad-file', 'its checksum does not match its content');
  return { index: head.index, meta: head.meta, tensors: Object.fromEntries(tensors) };
}
