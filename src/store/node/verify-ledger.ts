// Checking a ledger from its first byte to its last, in bounded memory. docs/LEDGER.md says what is found and what cannot be.

import { DataError, toHex } from '../../base/index.ts';
import { chainStart, entryOf, nextEntry, type RecordedEntry } from './ledger-chain.ts';
import { type LedgerLine, linesOf, readTip, volumeBytes, volumesOf } from './ledger-files.ts';
import { type Tip, sealBytes, volumeName, signed } from './ledger-format.ts';

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
  /** The public key in hexadecimal, where that is what is wrong. */
  readonly signedBy?: string;
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
  if (snapshot.tip.key !== toHex(publicKey))
    return {
      ...nothing,
      problem: `the ledger is signed by another key, ${snapshot.tip.key}`,
      signedBy: snapshot.tip.key,
    };
  return new Check(snapshot, noted).run(folder);
}

/** The entries of a ledger as they stand there, unchecked; lines that are none are left out. Throws DataError `bad-file`. */
export async function* readLedger(folder: string): AsyncGenerator<RecordedEntry> {
  for (const volume of await volumesOf(folder))
    for await (const line of linesOf(folder, volume)) {
      const entry = line.whole ? entryOf(line.bytes.subarray(65)) : undefined;
      if (entry) yield entry;
    }
}

interface Snapshot {
  readonly tip: Tip;
  readonly volumes: readonly { readonly first: number; readonly bytes: number }[];
}

/** The tip and the files' lengths at one moment: a ledger may be written while it is checked. */
async function snapshotOf(folder: string): Promise<Snapshot> {
  let tip = await readTip(folder);
  for (;;) {
    const volumes: { first: number; bytes: number }[] = [];
    for (const first of await volumesOf(folder)) volumes.push({ first, bytes: await volumeBytes(folder, first) });
    const after = await readTip(folder);
    if (!tip || !after)
      throw new DataError(
        'bad-file',
        volumes.length > 0 ? `the tip is missing, ${volumes.length} files are there` : 'there is no ledger',
      );
    if (after.entries === tip.entries && after.closed === tip.closed) return { tip, volumes };
    tip = after;
  }
}

class Check {
  readonly #tip: Tip;
  readonly #volumes: Snapshot['volumes'];
  #end = chainStart;
  /** The key that seals, as the ledger says; a ledger outlives keys. */
  #key = '';
  /** The last entry that a seal is over, or is one. */
  #sealed = 0;
  #sealsAfterTip = 0;
  #brokenBytes = 0;
  /** A hash that is yet to come. */
  #noted: string | undefined;

  constructor({ tip, volumes }: Snapshot, noted: string | undefined) {
    this.#noted = noted;
    this.#tip = tip;
    this.#volumes = volumes;
  }

  async run(folder: string): Promise<LedgerCheck> {
    const problem = (await this.#walk(folder)) ?? this.#reachesTip();
    const { entries, hash } = this.#end;
    return {
      ...(problem === undefined ? {} : { problem }),
      entries,
      hash,
      unsigned: Math.max(0, entries - this.#tip.entries),
      brokenBytes: this.#brokenBytes,
      closed: this.#tip.closed,
    };
  }

  async #walk(folder: string): Promise<string | undefined> {
    for (const [place, { first, bytes }] of this.#volumes.entries()) {
      const expected = this.#end.entries + 1;
      if (first > expected) return `entries ${expected} to ${first - 1} are missing`;
      if (first < expected) return `${volumeName(first)} is not in its place: entry ${expected} must begin a file`;
      const isLast = place === this.#volumes.length - 1;
      for await (const line of linesOf(folder, first, { to: bytes })) {
        const problem = this.#line(line, isLast);
        if (problem !== undefined) return problem;
      }
    }
    return undefined;
  }

  #line(line: LedgerLine, inLastFile: boolean): string | undefined {
    const tip = this.#tip;
    const isTail = this.#end.entries >= tip.entries;
    if (!line.whole && isTail && inLastFile && !tip.closed) {
      this.#brokenBytes = line.bytes.length;
      return undefined;
    }
    const before = this.#end;
    const found = nextEntry(line, before);
    if (found.problem !== undefined) return found.problem;
    const { entry, hash } = found;
    if (tip.closed && isTail) return `entry ${entry.n} was added after the ledger was closed`;
    const problem = this.#sealOrKey(entry, before.hash, isTail);
    if (problem !== undefined) return problem;
    this.#end = { entries: entry.n, hash };
    if (hash === this.#noted) this.#noted = undefined;
    const { volume, end } = line;
    if (entry.n === tip.entries && (hash !== tip.hash || volume !== tip.volume || end !== tip.bytes))
      return `the chain does not lead to the signed tip: something between entries ${this.#sealed + 1} and ${entry.n} was changed`;
    return undefined;
  }

  #sealOrKey(entry: RecordedEntry, before: string, isTail: boolean): string | undefined {
    if (entry.n === 1 && entry.what !== 'opened') return 'entry 1 was changed: a ledger begins with opened';
    if (entry.what === 'opened') this.#key = String(entry['key']);
    if (entry.what !== 'seal') return undefined;
    if (!signed(sealBytes(entry.n, before), String(entry['signature']), this.#key))
      return `the seal in entry ${entry.n} does not hold: something between entries ${this.#sealed + 1} and ${entry.n} was changed`;
    this.#sealed = entry.n;
    if (isTail) this.#sealsAfterTip += 1;
    // The tip follows each seal before the next one is made.
    if (this.#sealsAfterTip > 1) return `the tip is older than the seal in entry ${entry.n}: it was put back`;
    return undefined;
  }

  #reachesTip(): string | undefined {
    const { entries } = this.#end;
    if (entries >= this.#tip.entries)
      return this.#noted && `the noted entry ${this.#noted} is not there: an older ledger was put in its place`;
    return `entries ${entries + 1} to ${this.#tip.entries} are missing: the ledger was cut off`;
  }
}
