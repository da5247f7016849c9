// A party's Ed25519 key (RFC 8032) in a file that only its owner can read. The key is made where it is used and never leaves the machine.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { DataError } from '../../base/index.ts';
import { atomicWriteFile } from './atomic-file.ts';
import { fileError, isMissing } from './file-error.ts';

/** A key that signs. */
export interface SigningKey {
  /** The 32 bytes of the public key. */
  readonly publicKey: Uint8Array;
  /** The 64 bytes of the signature of `bytes`. */
  sign(bytes: Uint8Array): Uint8Array;
  /** For what needs the key itself, such as making a certificate. */
  readonly privateKey: KeyObject;
}

/**
 * The key in the file, PKCS #8 in PEM; made there if the file is not there. Throws DataError `bad-file` when it cannot be read or made, is
 * not an Ed25519 key, or may be read by others than its owner.
 */
export async function openKeyFile(path: string): Promise<SigningKey> {
  let pem: string;
  try {
    pem = await readPrivateFile(path);
  } catch (error) {
    if (!(error instanceof DataError) || !isMissing(error.cause)) throw error;
    pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await writePrivateFile(path, pem);
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch {
    // What went wrong may quote the key.
    throw new DataError('bad-file', `${path}: it is not a private key in PEM`);
  }
  if (privateKey.asymmetricKeyType !== 'ed25519')
    throw new DataError(
      'bad-file',
      `${path}: expected an Ed25519 key, got ${privateKey.asymmetricKeyType ?? 'another'}`,
    );
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    publicKey: new Uint8Array(Buffer.from(x as string, 'base64url')),
    sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)),
    privateKey,
  };
}

/** Writes a file that only its owner can read, whole or not at all. Throws DataError `bad-file`. */
export function writePrivateFile(path: string, content: string | Uint8Array): Promise<void> {
  return atomicWriteFile(path, content, { mode: 0o600 });
}

/** Reads such a file as text. Throws DataError `bad-file`, also when others than its owner may read it. */
export async function readPrivateFile(path: string): Promise<string> {
  try {
    await requirePrivate(path);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw error instanceof DataError ? error : fileError(path, 'read', error);
  }
}

/** Throws DataError `bad-file` when others than its owner may read the file. */
export async function requirePrivate(path: string): Promise<void> {
  const { mode } = await stat(path);
  // Windows has no such bits; its folders' rights are inherited.
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new DataError(
      'bad-file',
      `${path}: others than its owner may read it (mode ${(mode & 0o777).toString(8)}); make it private with chmod 600, and if anybody may have read it, replace it`,
    );
}

/** Whether the 64 bytes are the signature of `bytes` by the key whose 32 public bytes are given; false for bytes that are no key. */
export function verifySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    const x = Buffer.from(publicKey).toString('base64url');
    return verify(null, bytes, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }), signature);
  } catch {
    return false;
  }
}
