// The way into a server's studies over the network: TLS under a certificate that the server's identity has signed, and the gate behind it. The
// certificate is made anew long before it expires; connections that stand keep theirs.

import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigError, messageOf } from '../../base/index.ts';
import { systemClock } from '../../base/node/index.ts';
import { Gate } from '../../server/index.ts';
import type { Registry } from '../../store/index.ts';
import type { SigningKey } from '../../store/node/index.ts';
import {
  type Certificate,
  type ListenOptions,
  makeCertificate,
  type WebSocketListener,
} from '../../transport/node/index.ts';
import { Attempts, type AttemptsLimits } from './attempts.ts';
import { cryptography } from './cryptography.ts';
import { fingerprint } from './invite.ts';
import { openIdentity } from './server-folder.ts';
import { objectionTo } from './site-certificate.ts';

export interface DoorOptions {
  /** A certificate and its key in PEM files, which are read again at each renewal; default: certificates of the identity's own. */
  readonly certificateFiles?: { readonly cert: string; readonly key: string } | undefined;
  /** Mutual TLS: whoever shows no certificate on a site's key, or of an open invite, is cut off in the TLS handshake. */
  readonly mutualTls?: boolean | undefined;
  /** How often the certificate is renewed. Default: a day. */
  readonly renewMs?: number | undefined;
  /** How often an address may fail. */
  readonly attempts?: Partial<AttemptsLimits> | undefined;
  /** Told of a certificate that could not be renewed; the one before it stays. */
  readonly onTrouble?: ((what: string) => void) | undefined;
}

const dayMs = 24 * 3_600_000;
/** A certificate of the identity's own is valid for so many renewals. */
const renewalsValid = 30;

/** A peer that was refused, as the server's events have it. */
export interface Refused {
  readonly remote: string;
  readonly reason: string;
  readonly code: string;
}

/** Refusals of those who have shown that they are a site, or have an invite. */
const shown: ReadonlySet<string> = new Set([
  'already-connected',
  'out-of-order',
  'plan-mismatch',
  'unknown-site',
  'study-stopped',
  'revoked',
  'withdrawn',
  'going-back',
  'key-replaced',
  'token-expired',
  'token-spent',
]);

export class Door implements AsyncDisposable {
  readonly #identity: SigningKey;
  readonly #registry: Registry;
  readonly #options: DoorOptions;
  readonly gate: Gate;
  /** What a listener starts with. */
  readonly certificate: Certificate;
  readonly #attempts: Attempts;
  #cancel = (): void => undefined;

  private constructor(identity: SigningKey, registry: Registry, options: DoorOptions, certificate: Certificate) {
    this.#identity = identity;
    this.#registry = registry;
    this.#options = options;
    this.certificate = certificate;
    this.#attempts = new Attempts(systemClock, options.attempts);
    this.gate = new Gate({ identity, registry, cryptography, dateMs: () => Date.now() });
  }

  /** Opens the identity in the server's folder; `registry` says who may come in, and is the caller's. Throws DataError `bad-file`, and ConfigError for certificate files that do not serve. */
  static async open(stateDir: string, registry: Registry, options: DoorOptions = {}): Promise<Door> {
    const identity = await openIdentity(stateDir);
    return new Door(identity, registry, options, await certificateOf(identity, options));
  }

  /** What a listener of this door is told, with who is to hear of a peer that is refused. */
  listening(
    onRefused: (refused: Refused) => void,
  ): Pick<ListenOptions, 'tls' | 'hears' | 'onRefused'> & Partial<Pick<ListenOptions, 'objectionTo'>> {
    return {
      tls: this.certificate,
      hears: (address) => this.#attempts.allows(address),
      onRefused: (remote, refused) => this.refused({ remote, ...refused }, onRefused),
      ...(this.#options.mutualTls && { objectionTo: (shown) => objectionTo(shown, this.#registry, Date.now()) }),
    };
  }

  /** Passes on that a peer was refused, and counts it where the peer has not shown who it is: whoever fails too often is heard no more for a minute. */
  refused(refused: Refused, onRefused: (refused: Refused) => void): void {
    onRefused(refused);
    const { remote, code } = refused;
    if (shown.has(code) || !this.#attempts.failed(remote.slice(0, remote.lastIndexOf(':')))) return;
    onRefused({
      remote,
      reason: 'too many attempts that failed: this address is not heard for a while',
      code: 'too-many',
    });
  }

  /** How people know the server's identity. */
  get fingerprint(): string {
    return fingerprint(this.#identity.publicKey);
  }

  /** Keeps the listener's certificate fresh until the door is closed. */
  keepFresh(listener: WebSocketListener): void {
    const { renewMs = dayMs } = this.#options;
    this.#cancel = systemClock.setTimer(renewMs, () => {
      this.keepFresh(listener);
      certificateOf(this.#identity, this.#options).then(
        (certificate) => listener.useCertificate(certificate),
        (error: unknown) => this.#options.onTrouble?.(`the certificate stays as it is: ${messageOf(error)}`),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
  }
}

async function certificateOf(
  identity: SigningKey,
  { certificateFiles, renewMs = dayMs }: DoorOptions,
): Promise<Certificate> {
  if (!certificateFiles) return makeCertificate(identity.privateKey, Date.now(), renewalsValid * renewMs);
  const [cert, key] = await Promise.all([certificateFiles.cert, certificateFiles.key].map(readPem));
  const certificate = { cert: cert ?? '', key: key ?? '' };
  try {
    createSecureContext(certificate);
  } catch {
    // What went wrong may quote the key.
    throw new ConfigError(
      'bad-usage',
      `${certificateFiles.cert} and ${certificateFiles.key}: not a certificate and its private key, in PEM`,
    );
  }
  return certificate;
}

function readPem(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ConfigError('bad-usage', `${file}: cannot be read: ${messageOf(cause)}`, { cause });
  });
}
