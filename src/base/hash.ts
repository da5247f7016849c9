// SHA-256 (FIPS 180-4), which names graphs, plans, messages and random streams. Synchronous and the same in Node and browsers.

import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

/** The 32 bytes of the SHA-256 of `bytes`; the caller owns them. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return nobleSha256(bytes);
}

/** The SHA-256 of the given bytes, one part after another, as 64 lower-case hexadecimal digits. */
export function sha256Hex(...parts: readonly Uint8Array[]): string {
  const hash = nobleSha256.create();
  for (const part of parts) hash.update(part);
  return bytesToHex(hash.digest());
}
