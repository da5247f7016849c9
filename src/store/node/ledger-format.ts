// The bytes of a ledger: its lines, its seals and its tip (docs/LEDGER.md).

import { createHash, createPublicKey, verify } from 'node:crypto';
import { DataError, toHex } from '../../base/index.ts';
import type { SigningKey } from './key-file.ts';

/** The hash before the first entry. */
export const noHash = '0'.repeat(64);
/** The longest line that is written or read. */
export const lineBytesMax = 256 * 1024;
export const tipName = 'tip.json';

/** The file whose first entry has this number. */
export function volumeName(firstEntry: number): string {
  return `${String(firstEntry).padStart(12, '0')}.jsonl`;
}

/** The number of the first entry in the file of this name; undefined for other files. */
export function firstEntryOf(name: string): number | undefined {
  const digits = /^(\d{12})\.jsonl$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The hash of an entry: SHA-256 over the 32 bytes of the hash before it and the entry's JSON. Lower-case hexadecimal. */
export function chainHash(before: string, json: string | Uint8Array): string {
  return createHash('sha256').update(before, 'hex').update(json).digest('hex');
}

export function lineOf(hash: string, json: string): string {
  return `${hash} ${json}\n`;
}

/** Where a ledger ends, as far as it is signed. */
export interface Tip {
  readonly format: 1;
  /** How many entries there are, and the hash of the last. */
  readonly entries: number;
  readonly hash: string;
  /** The file of the last entry, by its first entry, and where in it the last entry ends. */
  readonly volume: number;
  readonly bytes: number;
  /** Whether the ledger was closed in order: then it ends here. */
  readonly closed: boolean;
  /** The public key, 64 hexadecimal digits. */
  readonly key: string;
}

export function encodeTip(tip: Tip, key: SigningKey): string {
  const signature = toHex(key.sign(tipBytes(tip)));
  return `${JSON.stringify({ ...tip, signature })}\n`;
}

/** Reads a tip whose signature holds. Throws DataError `bad-file` for any other, also for one that says the same in other bytes. */
export function decodeTip(text: string, path: string): Tip {
  const wrong = (what: string): DataError => new DataError('bad-file', `${path}: ${what}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw wrong('it is not JSON');
  }
  const { format, entries, hash, volume, bytes, closed, key, signature } = { ...(parsed as Partial<SignedTip>) };
  const tip = { format, entries, hash, volume, bytes, closed, key } as Tip;
  if (
    format !== 1 ||
    ![entries, volume, bytes].every((value) => Number.isSafeInteger(value) && Number(value) >= 0) ||
    ![hash, key].every((value) => /^[0-9a-f]{64}$/.test(String(value))) ||
    typeof closed !== 'boolean' ||
    !/^[0-9a-f]{128}$/.test(String(signature)) ||
    text !== `${JSON.stringify({ ...tip, signature })}\n`
  )
    throw wrong('it is not the tip of a ledger, or of a version that this one does not know');
  if (!signed(tipBytes(tip), signature as string, tip.key)) throw wrong('its signature does not hold');
  return tip;
}

type SignedTip = Tip & { readonly signature: string };

function tipBytes(tip: Tip): Uint8Array {
  return Buffer.from(`septum ledger tip 1\n${JSON.stringify(tip)}`);
}

/** What a seal signs: the number that it has itself, and the hash before it. */
export function sealBytes(number: number, before: string): Uint8Array {
  return Buffer.from(`septum ledger seal 1\n${number} ${before}`);
}

/** Whether an Ed25519 signature (128 hexadecimal digits) by this public key (64) is over these bytes. */
export function signed(bytes: Uint8Array, signature: string, publicKey: string): boolean {
  const x = Buffer.from(publicKey, 'hex').toString('base64url');
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, bytes, key, Buffer.from(signature, 'hex'));
  } catch {
    // Not every 32 bytes are a public key.
    return false;
  }
}
