// What it can mean that a server ends a connection after the TLS handshake and before a word of HTTP. One that demands certificates does so
// with a site that it does not take: TLS 1.3 leaves it no other way, for the site's own handshake is done by then. So does a server that is
// about to end, and a thing in between that opens TLS and is itself not taken. Which, the site can tell in part: the certificate that it was
// shown is signed by the identity from its invite, or is not.

import { createPublicKey, X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { TransportError } from '../../base/index.ts';
import type { Certificate } from './certificate.ts';

/** What a site shows a server that asks for a certificate, and whom it expects to find. */
export interface Introduction {
  readonly certificate: Certificate;
  /** The 32 bytes of the server's identity key. It decides nothing here: it says more of a connection that ended without a word. */
  readonly identity: Uint8Array;
}

/** Takes note of who is at the other end of an open connection; what it gives says what an `error` means that comes before an answer, where it is the end of the connection. */
export function cutOffBy(
  url: string,
  socket: Socket,
  { identity }: Introduction,
): (error: Error & { readonly code?: string }) => TransportError | undefined {
  const shown = socket instanceof TLSSocket ? socket.getPeerCertificate().raw : undefined;
  return (cause) => {
    if (!shown || !isEnd(cause.code)) return undefined;
    const why = isSignedBy(identity, shown) ? byTheServer : bySomebody;
    return new TransportError('cut-off', `cannot connect to ${url}: ${why}`, { cause });
  };
}

const notTaken =
  'it does not take this site’s key: that was revoked or replaced, or the invite has expired or was used; the study’s coordinating centre has the reason in its log';
const byTheServer = `the server ended the connection with the TLS handshake. If it demands certificates (--mutual-tls), ${notTaken}. Else it was about to end`;
const bySomebody = `the connection was ended with the TLS handshake, in which a certificate was shown that the server’s identity has not signed. Either somebody in between opens TLS, and a server that demands certificates (--mutual-tls) refuses that: have its address excepted from inspection. Or the server shows a certificate of its operator’s (--cert), and ${notTaken}`;

function isEnd(code: string | undefined): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED';
}

function isSignedBy(identity: Uint8Array, certificate: Buffer): boolean {
  try {
    const x = Buffer.from(identity).toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return new X509Certificate(certificate).verify(key);
  } catch {
    return false; // Bytes that are no key, or a certificate that this OpenSSL cannot read.
  }
}
