// Checking a ledger from its first byte to its last, in bounded memory. docs/LEDGER.md says what is found and what cannot be.

import { DataError } from '../../base/index.ts';
import { chainStart, entryOf, nextEntry, type RecordedEntry } from './ledger-chain.ts';
import { type LedgerLine, linesOf, readHead, segmentBytes, segmentsOf } from './ledger-files.ts';
import { type Head, hexOf, sealBytes, segmentName, signed } from './ledger-format.ts';

/** What a check of a ledger found. */
export interface LedgerCheck {
  /** The first thing that is wrong, with the entry's number, in words; undefined when all is as it was written. */
  readonly problem?: string;
  /** Entries in order from the first on, up to the problem. */
  readonly entries: number;
  /** The hash of the last of them. */
  readonly hash: string;
  /** How many of them come after the last signature. */
  readonly unsigned: number;
  /** Bytes at the end that are part of an entry that was never finished. */
  readonly brokenBytes: number;
  /** Whether the ledger was closed in order. */
  readonly closed: boolean;
}

/**
 * Checks the ledger in a folder against the site's public key, 32 bytes. `noted` is the hash of an entry that was seen in it earlier: it
 * must still be there. Throws DataError `bad-file` when a file cannot be read.
 */
export async function verifyLedger(folder: string, publicKey: Uint8Array, noted?: string): Promise<LedgerCheck> {
  const nothing = { ...chainStart, unsigned: 0, brokenBytes: 0, closed: false };
  let snapshot: Snapshot;
  try {
    snapshot = await snapshotOf(folder);
  } catch (error) {
    if (error instanceof DataError && error.cause === undefined) return { ...nothing, problem: error.message };
    throw error;
  }
  if (snapshot.head.key !== hexOf(publicKey))
    return { ...nothing, problem: `the ledger is signed by another key, ${snapshot.head.key}` };
  return new Check(snapshot, noted).run(folder);
}

/** The entries of a ledger as they stand there, unchecked; lines that are none are left out. Throws DataError `bad-file`. */
export async function* readLedger(folder: string): AsyncGenerator<RecordedEntry> {
  for (const segment of await segmentsOf(folder))
    for await (const line of linesOf(folder, segment)) {
      const entry = line.whole ? entryOf(line.bytes.subarray(65)) : undefined;
      if (entry) yield entry;
    }
}

interface Snapshot {
  readonly head: Head;
  readonly segments: readonly { readonly first: number; readonly bytes: number }[];
}

/** The head and the files' lengths at one moment: a ledger may be written while it is checked. */
async function snapshotOf(folder: string): Promise<Snapshot> {
  let head = await readHead(folder);
  for (;;) {
    const segments: { first: number; bytes: number }[] = [];
    for (const first of await segmentsOf(folder)) segments.push({ first, bytes: await segmentBytes(folder, first) });
    const after = await readHead(folder);
    if (!head || !after)
      throw new DataError(
        'bad-file',
        segments.length > 0 ? `the head is missing, ${segments.length} files are there` : 'there is no ledger',
      );
    if (after.entries === head.entries && after.closed === head.closed) return { head, segments };
    head = after;
  }
}

class Check {
  readonly #head: Head;
  readonly #segments: Snapshot['segments'];
  #end = chainStart;
  /** The key that seals, as the ledger says; a ledger outlives keys. */
  #key = '';
  /** The last entry that a seal is over, or is one. */
  #sealed = 0;
  #sealsAfterHead = 0;
  #brokenBytes = 0;
  /** A hash that is yet to come. */
  #noted: string | undefined;

  constructor({ head, segments }: Snapshot, noted: string | undefined) {
    this.#noted = noted;
    this.#head = head;
    this.#segments = segments;
  }

  async run(folder: string): Promise<LedgerCheck> {
    const problem = (await this.#walk(folder)) ?? this.#atEnd();
    const { entries, hash } = this.#end;
    return {
      ...(problem === undefined ? {} : { problem }),
      entries,
      hash,
      unsigned: Math.max(0, entries - this.#head.entries),
      brokenBytes: this.#brokenBytes,
      closed: this.#head.closed,
    };
  }

  async #walk(folder: string): Promise<string | undefined> {
    for (const [place, { first, bytes }] of this.#segments.entries()) {
      const expected = this.#end.entries + 1;
      if (first > expected) return `entries ${expected} to ${first - 1} are missing`;
      if (first < expected) return `${segmentName(first)} is not in its place: entry ${expected} must begin a file`;
      const isLast = place === this.#segments.length - 1;
      for await (const line of linesOf(folder, first, { to: bytes })) {
        const problem = this.#line(line, isLast);
        if (problem !== undefined) return problem;
      }
    }
    return undefined;
  }

  #line(line: LedgerLine, inLastFile: boolean): string | undefined {
    const head = this.#head;
    const isTail = this.#end.entries >= head.entries;
    if (!line.whole && isTail && inLastFile && !head.closed) {
      this.#brokenBytes = line.bytes.length;
      return undefined;
    }
    const before = this.#end;
    const found = nextEntry(line, before);
    if (found.problem !== undefined) return found.problem;
    const { entry, hash } = found;
    if (head.closed && isTail) return `entry ${entry.n} was added after the ledger was closed`;
    const problem = this.#sealOrKey(entry, before.hash, isTail);
    if (problem !== undefined) return problem;
    this.#end = { entries: entry.n, hash };
    if (hash === this.#noted) this.#noted = undefined;
    const { segment, end } = line;
    if (entry.n === head.entries && (hash !== head.hash || segment !== head.segment || end !== head.bytes))
      return `the chain does not lead to the signed head: something between entries ${this.#sealed + 1} and ${entry.n} was changed`;
    return undefined;
  }

  #sealOrKey(entry: RecordedEntry, before: string, isTail: boolean): string | undefined {
    if (entry.n === 1 && entry.what !== 'opened') return 'entry 1 was changed: a ledger begins with opened';
    if (entry.what === 'opened') this.#key = String(entry['key']);
    if (entry.what !== 'seal') return undefined;
    if (!signed(sealBytes(entry.n, before), String(entry['signature']), this.#key))
      return `the seal in entry ${entry.n} does not hold: something between entries ${this.#sealed + 1} and ${entry.n} was changed`;
    this.#sealed = entry.n;
    if (isTail) this.#sealsAfterHead += 1;
    // The head follows each seal before the next one is made.
    if (this.#sealsAfterHead > 1) return `the head is older than the seal in entry ${entry.n}: it was put back`;
    return undefined;
  }

  #atEnd(): string | undefined {
    const { entries } = this.#end;
    if (entries >= this.#head.entries)
      return this.#noted && `the noted entry ${this.#noted} is not there: an older ledger was put in its place`;
    return `entries ${entries + 1} to ${this.#head.entries} are missing: the ledger was cut off`;
  }
}
