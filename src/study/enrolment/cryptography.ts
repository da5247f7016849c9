import { randomBytes } from 'node:crypto';
import type { Cryptography } from '../../protocol/index.ts';
import { verifySignature } from '../../store/node/index.ts';

/** This machine's own. */
export const cryptography: Cryptography = {
  verify: verifySignature,
  randomBytes: (count) => new Uint8Array(randomBytes(count)),
};
