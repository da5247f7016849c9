// What only the two ends of one TLS connection share: the exporter's value (RFC 8446, section 7.5), and the certificate that the server
// showed. Whoever sits in between with a TLS connection to either side has two others.

import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { TransportError } from '../../base/index.ts';

const LABEL = 'EXPORTER-septum';
const EXPORTED_BYTES = 32;

/** Exporter's value (32 bytes) and SHA-256 of the server's certificate (32 bytes); undefined on a socket without TLS. */
export function channelBinding(socket: Socket, end: 'server' | 'site'): Uint8Array | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  // At the site's end getPeerX509Certificate would give the certificate once only.
  const certificate = end === 'server' ? socket.getX509Certificate() : socket.getPeerCertificate();
  if (!certificate?.raw) throw new TransportError('closed', 'the TLS connection is gone');
  const exported = socket.exportKeyingMaterial(EXPORTED_BYTES, LABEL, Buffer.alloc(0));
  return new Uint8Array(Buffer.concat([exported, createHash('sha256').update(certificate.raw).digest()]));
}
