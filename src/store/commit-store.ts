// Where the server and each site keep their half of a study's state, so that a crash loses at most the work since the last commit.
//
// Atomic: a commit is there whole or not at all, whenever the process or the machine stops. Durable: when `write` resolves, the
// commit survives both. Calls for one name take effect in their order; a name has one writer.

import { ConfigError } from '../base/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Json } from './json.ts';

/** A state to go back to. `index` grows from commit to commit; 0 or more. */
export interface Commit {
  readonly index: number;
  readonly meta: Json;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** What a search found. `problems` says, one line each, which newer commits could not be used and why. */
export interface FoundCommit {
  readonly commit: Commit | undefined;
  readonly problems: readonly string[];
}

export interface CommitStore {
  /**
   * Writes a commit under `name` (a site's name, or `server`) and keeps the one before it. Commits of the same or a higher index
   * are given up first: after going back, the abandoned course is not found again. The tensors must not change until it resolves.
   * Throws ConfigError for a name that cannot be a file's, DataError `bad-data` for `meta` that is not JSON, `bad-file` when the
   * commit cannot be written; then the ones before are untouched.
   */
  write(name: string, commit: Commit): Promise<void>;

  /** The newest commit that is whole; the caller owns it. A torn or changed one is passed over and reported. */
  latest(name: string): Promise<FoundCommit>;

  /** The commit of this index; `undefined` if it was never written or is gone. Throws DataError `bad-file` if it is torn or changed. */
  read(name: string, index: number): Promise<Commit | undefined>;

  /** The indices that are kept, rising; none of them is checked. */
  list(name: string): Promise<readonly number[]>;
}

/** Commits kept for each name: the newest and the one before. */
export const commitsKept = 2;

/** Throws ConfigError unless the name can stand in a file's name on every system. */
export function checkStoreName(name: string): void {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(name))
    throw new ConfigError(
      'bad-usage',
      `"${name}" cannot name what is stored: expected 1 to 64 letters, digits, ".", "_" and "-", not starting with "." or "-"`,
    );
}
