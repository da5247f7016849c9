// Trouble with a file, in words for whoever keeps the disk.

import { DataError, messageOf } from '../../base/index.ts';

/** `doing` completes "cannot": "write", "read". */
export function fileError(path: string, doing: string, cause: unknown): DataError {
  return new DataError('bad-file', `${path}: cannot ${doing}: ${messageOf(cause)}`, { cause });
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
