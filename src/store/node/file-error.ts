// Trouble with a file, in words for whoever keeps the disk.

import { DataError, messageOf } from '../../base/index.ts';

/** `doing` completes "cannot": "write", "read". What can be done about it follows, where the system's error says. */
export function fileError(path: string, doing: string, cause: unknown): DataError {
  const help = helpFor(cause);
  const said = `${path}: cannot ${doing}: ${messageOf(cause)}`;
  return new DataError('bad-file', help === undefined ? said : `${said}; ${help}`, { cause });
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return codeIn(error) === 'ENOENT';
}

const again = 'and start again with the same folders';
const makeRoom = `make room on its disk ${again}`;
const allow = `give the process the right to it ${again}`;
const unlock = `the disk is read-only: make it writable ${again}`;
const check = 'check the disk';

/** By the code of Node's error, or SQLite's as far as its first two words. */
const help: Readonly<Record<string, string>> = {
  ENOSPC: makeRoom,
  EDQUOT: makeRoom,
  SQLITE_FULL: makeRoom,
  EFBIG: `raise the largest size of a file that the process may write (ulimit -f) ${again}`,
  EROFS: unlock,
  SQLITE_READONLY: `make file and folder writable ${again}`,
  EACCES: allow,
  EPERM: allow,
  EMFILE: `raise how many files the process may have open (ulimit -n) ${again}`,
  EIO: check,
  SQLITE_IOERR: check,
};

function helpFor(cause: unknown): string | undefined {
  const code = codeIn(cause);
  return code === undefined ? undefined : help[code.startsWith('SQLITE') ? code.split('_', 2).join('_') : code];
}

function codeIn(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
