// Walking along a ledger: whether a line is the entry that must follow the last one.

import { chainHash, noHash } from './ledger-format.ts';
import type { LedgerLine } from './ledger-files.ts';

/** An entry as it was written: its number, its time (ISO 8601, UTC), what it is, and the fields of its kind. */
export type RecordedEntry = { readonly n: number; readonly at: string; readonly what: string } & Readonly<
  Record<string, unknown>
>;

/** The end of a chain so far. */
export interface ChainEnd {
  readonly entries: number;
  readonly hash: string;
}

export const chainStart: ChainEnd = { entries: 0, hash: noHash };

/** The entry in a line, if it follows; else why not, in words. */
export type NextEntry =
  { readonly entry: RecordedEntry; readonly hash: string; readonly problem?: never } | { readonly problem: string };

const hashDigits = 64;

export function nextEntry(line: LedgerLine, { entries, hash }: ChainEnd): NextEntry {
  const expected = entries + 1;
  if (!line.whole) return { problem: `entry ${expected} is cut off` };
  const bytes = Buffer.from(line.bytes.buffer, line.bytes.byteOffset, line.bytes.byteLength);
  const json = bytes.subarray(hashDigits + 1);
  const entry = entryOf(json);
  if (!entry || bytes[hashDigits] !== 0x20) return { problem: `entry ${expected} was changed: the line is no entry` };
  if (entry.n > expected) {
    const missing = entry.n === expected + 1 ? `entry ${expected} is` : `entries ${expected} to ${entry.n - 1} are`;
    return { problem: `${missing} missing: entry ${entry.n} stands there` };
  }
  if (entry.n < expected)
    return { problem: `entry ${expected} is not in its place: entry ${entry.n} stands there, again or out of order` };
  const own = chainHash(hash, json);
  if (bytes.toString('latin1', 0, hashDigits) !== own)
    return { problem: `entry ${expected} was changed: its hash is not that of what it says after entry ${entries}` };
  return { entry, hash: own };
}

/** The entry in a line's JSON; undefined where it is none. */
export function entryOf(json: Uint8Array): RecordedEntry | undefined {
  try {
    const entry = JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString('utf8')) as unknown;
    if (typeof entry !== 'object' || entry === null) return undefined;
    const { n, at, what } = entry as Partial<RecordedEntry>;
    const isEntry = Number.isSafeInteger(n) && typeof what === 'string' && Number.isFinite(Date.parse(String(at)));
    return isEntry ? (entry as RecordedEntry) : undefined;
  } catch {
    return undefined;
  }
}
