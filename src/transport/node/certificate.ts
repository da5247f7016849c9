// A TLS certificate that an Ed25519 key has signed (X.509, RFC 5280; the signature and keys of that kind are RFC 8410's). A server's is on a
// P-256 key of its own, a site's on the site's key itself. Both sides look at who signed the connection (protocol/proof.ts), not at dates or
// issuers, so one fixed form of certificate is enough, and no more of DER than it needs.

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** Certificate and private key, in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const ED25519 = sequence(tagged(0x06, Buffer.from([0x2b, 0x65, 0x70])));
const COMMON_NAME = tagged(0x06, Buffer.from([0x55, 0x04, 0x03]));
/** Clocks differ. */
const earlierMs = 24 * 3_600_000;

/** A certificate on a key of its own, signed by the identity's Ed25519 `issuer`; valid from the day before `nowMs` until `validMs` after it. */
export function makeCertificate(issuer: KeyObject, nowMs: number, validMs: number): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const about = { subject: 'septum server', publicKey, signedBy: 'septum identity', nowMs, validMs };
  return { cert: signed(about, issuer), key: pem(privateKey) };
}

/** A certificate on an Ed25519 `key` itself, signed by that key; `subject` is its name, of at most 64 characters. */
export function certifyItself(key: KeyObject, subject: string, nowMs: number, validMs: number): Certificate {
  const about = { subject, publicKey: createPublicKey(key), signedBy: subject, nowMs, validMs };
  return { cert: signed(about, key), key: pem(key) };
}

interface About {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly signedBy: string;
  readonly nowMs: number;
  readonly validMs: number;
}

function signed({ subject, publicKey, signedBy, nowMs, validMs }: About, issuer: KeyObject): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // Positive, and always 16 bytes long.
  const toBeSigned = sequence(
    tagged(0x02, serial),
    ED25519,
    name(signedBy),
    sequence(time(nowMs - earlierMs), time(nowMs + validMs)),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = Buffer.concat([Buffer.from([0]), sign(null, toBeSigned, issuer)]);
  const der = sequence(toBeSigned, ED25519, tagged(0x03, signature));
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

function name(common: string): Buffer {
  return sequence(tagged(0x31, sequence(COMMON_NAME, tagged(0x0c, Buffer.from(common)))));
}

/** As GeneralizedTime from 2050 on, and UTCTime before, as RFC 5280 wants it. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return digits < '2050' ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

/** Tag, length and content; contents are shorter than 65 536 bytes. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
