// An invite as one string: where the server is, by which identity key it is known, and the one-time token by which a site becomes the
// study's. It is a secret until it is used. Its words never appear in an error.
//
// `septum1-` and base64url of a JSON object followed by the first 6 bytes of the SHA-256 of `septum1-` and the object.

import { z } from 'zod';
import { ConfigError, sha256, toHex } from '../../base/index.ts';

export interface Invite {
  /** `HOST:PORT`. */
  readonly address: string;
  /** The public key of the server's identity, 32 bytes. */
  readonly identity: Uint8Array;
  readonly study: string;
  readonly site: string;
  /** 32 bytes. */
  readonly token: Uint8Array;
}

const PREFIX = 'septum1-';
const CHECKSUM_BYTES = 6;
const textLengthMax = 4096;

const secret = z.base64url().length(43);
/** A study's name, which names a folder as well. */
export const studyName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);
const content = z.strictObject({
  address: z.string().regex(/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+):\d{1,5}$/i),
  identity: secret,
  study: studyName,
  site: z.string().min(1),
  token: secret,
});

/** Whether a text may be an invite, or a part of one. */
export function looksLikeInvite(text: string): boolean {
  return /septum\d+-/.test(text);
}

export function writeInvite({ identity, token, ...rest }: Invite): string {
  const json = Buffer.from(JSON.stringify({ ...rest, identity: base64url(identity), token: base64url(token) }));
  return PREFIX + Buffer.concat([json, checksum(json)]).toString('base64url');
}

/** The invite in a text; white space, also within, does not count. Throws ConfigError for one that is mistyped, cut, or of another version. */
export function readInvite(text: string): Invite {
  const plain = text.replace(/\s+/g, '');
  const [, version, body = ''] = /^septum(\d+)-([A-Za-z0-9_-]*)$/.exec(plain.slice(0, textLengthMax + 1)) ?? [];
  if (version === undefined || plain.length > textLengthMax)
    throw new ConfigError('bad-usage', `this is no invite: expected one string that begins with ${PREFIX}`);
  if (`septum${version}-` !== PREFIX)
    throw new ConfigError(
      'bad-usage',
      `an invite of version ${version}: this Septum reads version 1; use the server’s release`,
    );
  const bytes = Buffer.from(body, 'base64url');
  const json = bytes.subarray(0, -CHECKSUM_BYTES);
  if (!checksum(json).equals(bytes.subarray(-CHECKSUM_BYTES)))
    throw new ConfigError('bad-usage', 'the invite is mistyped or not whole: its checksum is not right; copy it again');
  const found = content.safeParse(JSON.parse(json.toString()));
  if (!found.success)
    throw new ConfigError('bad-usage', 'the invite does not hold what an invite holds: ask for another');
  const { identity, token, ...rest } = found.data;
  return { ...rest, identity: fromBase64url(identity), token: fromBase64url(token) };
}

/** How people compare an identity key: 32 hexadecimal digits of its SHA-256, in groups of four. */
export function fingerprint(publicKey: Uint8Array): string {
  return (toHex(sha256(publicKey)).slice(0, 32).match(/.{4}/g) ?? []).join(' ');
}

export function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

export function fromBase64url(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64url'));
}

function checksum(json: Uint8Array): Buffer {
  return Buffer.from(sha256(Buffer.concat([Buffer.from(PREFIX), json])).subarray(0, CHECKSUM_BYTES));
}
