// One process at a time: a file that holds the number of the process that has something open.

import { open, readFile, rm } from 'node:fs/promises';
import { DataError } from '../../base/index.ts';
import { fileError, isMissing } from './file-error.ts';

/**
 * Takes the lock, also over a process that is gone. Gives what releases it. Throws DataError `bad-file` when a living process has it, or
 * the file cannot be written.
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  for (let attempt = 0; ; attempt++) {
    if (held.has(path)) throw new DataError('bad-file', `${path}: this process uses the folder already`);
    try {
      await using file = await open(path, 'wx', 0o600);
      try {
        await file.writeFile(String(process.pid));
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
      held.add(path);
      return () => release(path);
    } catch (error) {
      const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!isThere || attempt === attemptsMax) throw fileError(path, 'lock', error);
    }
    const owner = await ownerOf(path);
    // A lock with this process's own number is an earlier process's: in a container they are often the same.
    if (owner !== undefined && owner !== process.pid && isAlive(owner))
      throw new DataError(
        'bad-file',
        `${path}: process ${owner} uses the folder, and only one can; if that is no process of Septum, remove this file`,
      );
    await rm(path, { force: true });
  }
}

const attemptsMax = 3;
/** The locks of this process. */
const held = new Set<string>();

/** The living process that has a lock; undefined when none has. Throws DataError `bad-file` when it cannot be read. */
export async function lockOwner(path: string): Promise<number | undefined> {
  const owner = await ownerOf(path);
  return owner !== undefined && isAlive(owner) ? owner : undefined;
}

async function release(path: string): Promise<void> {
  await rm(path, { force: true });
  held.delete(path);
}

async function ownerOf(path: string): Promise<number | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fileError(path, 'read', error);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
