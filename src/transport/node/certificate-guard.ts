// Mutual TLS: who comes to a listener has to show a certificate in the TLS handshake, which proves that the peer has its key. Whoever shows
// none, or one that somebody objects to, is cut off with the handshake's last byte: HTTP never hears of the connection.
//
// No chain, name or date is looked at, for no authority counts: a site is known by its key.

import type { KeyObject, X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { TlsOptions, TLSSocket } from 'node:tls';

/** A certificate that a peer has shown, and whose private key it has. */
export interface ShownCertificate {
  /** The 32 bytes of its Ed25519 public key. */
  readonly key: Uint8Array;
  /** Its subject as Node writes it, `CN=NAME`: the peer's own word. */
  readonly subject: string;
}

/** Why a peer may not come in. */
export interface Objection {
  readonly code: string;
  readonly reason: string;
}

/** What has TLS ask for a certificate. Without one the handshake is finished all the same, and the guard ends it. */
export const askForCertificate: TlsOptions = { requestCert: true, rejectUnauthorized: false, ca: [] };

export class CertificateGuard {
  readonly #objectionTo: (shown: ShownCertificate) => Objection | undefined;
  readonly #onRefused: (remote: string, objection: Objection) => void;
  readonly #keys = new WeakMap<Duplex, Uint8Array>();

  /** `objectionTo` is asked at the end of each handshake in which a certificate on an Ed25519 key was shown. It must not throw. */
  constructor(
    objectionTo: (shown: ShownCertificate) => Objection | undefined,
    onRefused: (remote: string, objection: Objection) => void,
  ) {
    this.#objectionTo = objectionTo;
    this.#onRefused = onRefused;
  }

  /** Whether a connection whose handshake is done may go on; if not, it is gone. */
  admits(socket: TLSSocket): boolean {
    const shown = shownBy(socket);
    if (!shown) return this.#cut(socket, nothingShown);
    const objection = this.#objectionTo(shown);
    if (objection) return this.#cut(socket, objection);
    this.#keys.set(socket, shown.key);
    return true;
  }

  /** The key of a connection that was admitted. */
  keyOf(stream: Duplex): Uint8Array | undefined {
    return this.#keys.get(stream);
  }

  #cut(socket: TLSSocket, objection: Objection): false {
    const remote = `${socket.remoteAddress}:${socket.remotePort}`;
    socket.destroy();
    this.#onRefused(remote, objection);
    return false;
  }
}

const nothingShown: Objection = {
  code: 'no-certificate',
  reason: 'no certificate on an Ed25519 key was shown in the TLS handshake',
};

function shownBy(socket: TLSSocket): ShownCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  const key = certificate && ed25519KeyOf(certificate);
  return key && { key, subject: certificate.subject };
}

function ed25519KeyOf(certificate: X509Certificate): Uint8Array | undefined {
  let publicKey: KeyObject;
  try {
    ({ publicKey } = certificate);
  } catch {
    return undefined; // Of a kind that this OpenSSL does not know.
  }
  if (publicKey.asymmetricKeyType !== 'ed25519') return undefined;
  const { x } = publicKey.export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x as string, 'base64url'));
}
