// Commits in memory, for tests and for studies that need not outlive their process.

import { assert } from '../base/index.ts';
import { cloneTensor } from '../tensor/index.ts';
import { checkStoreName, commitsKept, type Commit, type CommitStore, type FoundCommit } from './commit-store.ts';
import { encodeJson, type Json } from './json.ts';

export function createMemoryCommitStore(): CommitStore {
  return new MemoryCommitStore();
}

class MemoryCommitStore implements CommitStore {
  /** The commits of a name, index rising. */
  readonly #commits = new Map<string, readonly Commit[]>();

  async write(name: string, commit: Commit): Promise<void> {
    checkStoreName(name);
    assert(Number.isSafeInteger(commit.index) && commit.index >= 0, `a commit cannot have index ${commit.index}`);
    const older = this.#of(name).filter((each) => each.index < commit.index);
    this.#commits.set(name, [...older, copyOf(commit)].slice(-commitsKept));
  }

  async latest(name: string): Promise<FoundCommit> {
    const newest = this.#of(name).at(-1);
    return { commit: newest && copyOf(newest), problems: [] };
  }

  async read(name: string, index: number): Promise<Commit | undefined> {
    const found = this.#of(name).find((each) => each.index === index);
    return found && copyOf(found);
  }

  async list(name: string): Promise<readonly number[]> {
    return this.#of(name).map((each) => each.index);
  }

  #of(name: string): readonly Commit[] {
    checkStoreName(name);
    return this.#commits.get(name) ?? [];
  }
}

function copyOf({ index, meta, tensors }: Commit): Commit {
  return {
    index,
    meta: JSON.parse(encodeJson(meta)) as Json,
    tensors: Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, cloneTensor(value)])),
  };
}
