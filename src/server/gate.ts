// The gate of a server: who comes in proves, on this very connection, that he has the key of a site that is enrolled in one of its studies, or
// brings an invite and becomes one. Whoever does not is refused, and told no more than that: not which names, keys, tokens or studies there
// are. What a site may do ends as soon as the registry says so, on the connections that stand as well.

import {
  type Clock,
  DataError,
  fromHex,
  ProtocolError,
  type ProtocolErrorCode,
  type SeptumError,
  sha256Hex,
  toHex,
} from '../base/index.ts';
import {
  checkEnrol,
  checkWithdraw,
  type Cryptography,
  enrolled,
  type Message,
  ServerProof,
  type Signer,
  withdrawn,
} from '../protocol/index.ts';
import type { KeyStanding, Registry } from '../store/index.ts';
import type { Connection } from '../transport/index.ts';
import { hasWithdrawn } from './refuse.ts';
import { watchRegistry } from './watch-registry.ts';

export interface GateOptions {
  /** The server's identity. */
  readonly identity: Signer;
  readonly cryptography: Cryptography;
  readonly registry: Registry;
  /** The date, in milliseconds since 1970. */
  readonly dateMs: () => number;
}

/** A site that is in. */
interface Guest {
  readonly study: string;
  readonly site: string;
  readonly key: string;
  readonly dismiss: (error: ProtocolError) => void;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #guests = new Set<Guest>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** The opening of a connection. Throws ProtocolError `no-proof` where the transport has no binding. */
  meet(connection: Connection): Entrance {
    const { binding, certifiedKey } = connection;
    if (!binding) throw new ProtocolError('no-proof', 'the connection has nothing that a proof could be bound to');
    const { identity, cryptography } = this.#options;
    const proof = new ServerProof({ signer: identity, cryptography, binding });
    return new Entrance(this, this.#options, proof, certifiedKey);
  }

  /** Has a site that is in dismissed once it may not stay, until the function that it gives is called. */
  host(guest: Guest): () => void {
    this.#guests.add(guest);
    return () => void this.#guests.delete(guest);
  }

  /** Looks after those who are in, until the signal aborts. While the registry cannot be read nobody comes in, and who is in stays. */
  watch(clock: Clock, signal: AbortSignal): Promise<void> {
    return watchRegistry(this.#options.registry, () => this.look(), clock, signal);
  }

  /** Dismisses everyone whose key does not serve any more. */
  look(): void {
    for (const { study, site, key, dismiss } of this.#guests) {
      const error = objection(site, this.#options.registry.standings(site, key).get(study) ?? 'unknown');
      if (error) dismiss(error);
    }
  }

  /**
   * Checks that a site with this key may come into `study`, undefined where there is none of the plan that it says. Throws ProtocolError:
   * `plan-mismatch` for a site of another study, whether or not there is one of that plan, so that nobody learns of a study that is not his.
   */
  requireIn(study: string | undefined, site: string, key: string): void {
    const standings = this.#options.registry.standings(site, key);
    const own = study === undefined ? undefined : standings.get(study);
    const enrolledElsewhere = [...standings.values()].includes('enrolled');
    if (own === undefined && enrolledElsewhere) throw anotherPlan(site);
    const error = objection(site, own ?? [...standings.values()][0] ?? 'unknown');
    if (error) throw error;
  }
}

/** What a site is told whose plan is not its study's. */
export function anotherPlan(site: string): ProtocolError {
  return new ProtocolError(
    'plan-mismatch',
    `site ${site} has another plan than the server: compare the study files and the Septum versions`,
  );
}

/** Why a site with a key of this standing may not be in; undefined when it may. */
function objection(site: string, standing: KeyStanding): ProtocolError | undefined {
  switch (standing) {
    case 'enrolled':
      return undefined;
    case 'revoked':
      return new ProtocolError('revoked', `site ${site} was revoked`);
    case 'withdrawn':
      return hasWithdrawn(site);
    case 'replaced':
      return new ProtocolError('key-replaced', `site ${site} has another key now than this one`);
    case 'unknown':
      return new ProtocolError('wrong-key', `there is no site ${JSON.stringify(site.slice(0, 64))} with this key`);
  }
}

/** One connection at the gate. */
export class Entrance {
  readonly #gate: Gate;
  readonly #options: GateOptions;
  readonly #proof: ServerProof;
  readonly #certifiedKey: Uint8Array | undefined;

  /** `certifiedKey` is the key of the certificate that the peer had to show. */
  constructor(gate: Gate, options: GateOptions, proof: ServerProof, certifiedKey: Uint8Array | undefined) {
    this.#gate = gate;
    this.#options = options;
    this.#proof = proof;
    this.#certifiedKey = certifiedKey;
  }

  /** What the peer is told first. */
  get challenge(): Message {
    return this.#proof.challenge;
  }

  /** A hello without its proof, and the key that it was proved with; whose that is, is not said here. Throws ProtocolError. */
  take(received: Message): { readonly said: Message; readonly key: string; readonly token: string } {
    const taken = this.#proof.take(received);
    const certified = this.#certifiedKey;
    if (certified && toHex(certified) !== taken.key)
      throw new ProtocolError(
        'wrong-certificate',
        `site ${JSON.stringify(taken.said.site.slice(0, 64))} has proved another key than that of the certificate which was shown in the TLS handshake`,
      );
    return taken;
  }

  /** Enrols a site that brings a token for a study that `serves`, and gives the answer. Throws ProtocolError when the token does not serve. */
  enrol(
    received: Message,
    serves: (study: string) => boolean,
  ): { readonly answer: Message; readonly study: string; readonly site: string } {
    const { registry, dateMs } = this.#options;
    const { said, key, token } = this.take(received);
    checkEnrol(said);
    const { site, text: study } = said;
    const hash = sha256Hex(fromHex(token));
    const standing = serves(study) ? registry.enrol(study, site, hash, key, dateMs()) : 'unknown';
    if (standing !== 'open') throw tokenError(standing, site);
    this.#gate.look();
    return { answer: this.sign(enrolled(site, study)), study, site };
  }

  /** Notes that a site takes no further part in a study, and gives the answer; also to one that has said so before. Throws ProtocolError for a key that is not a site's of the study. */
  withdraw(received: Message): { readonly answer: Message; readonly study: string; readonly site: string } {
    const { registry, dateMs } = this.#options;
    const { said, key } = this.take(received);
    checkWithdraw(said);
    const { site, text: study } = said;
    // Only a study that knows the key is asked: the others are none of its business.
    const known = registry.standings(site, key).has(study);
    const standing = known ? registry.withdraw(study, site, key, dateMs()) : 'unknown';
    const error = standing === 'withdrawn' ? undefined : objection(site, standing);
    if (error) throw error;
    this.#gate.look();
    return { answer: this.sign(withdrawn(site, study)), study, site };
  }

  /** The answer to what was taken, with the server's proof. */
  sign(answer: Message): Message {
    return this.#proof.sign(answer);
  }
}

function tokenError(standing: 'unknown' | 'expired' | 'spent', site: string): ProtocolError {
  switch (standing) {
    case 'unknown':
      return new ProtocolError(
        'unknown-token',
        `no invite has this token for site ${JSON.stringify(site.slice(0, 64))}`,
      );
    case 'expired':
      return new ProtocolError('token-expired', `the invite of site ${site} has expired: ask for another one`);
    case 'spent':
      return new ProtocolError('token-spent', `the invite of site ${site} was used already: ask for another one`);
  }
}

/** What only those are told who have shown that they have a key or a token of the study's; the others learn nothing from how they are refused. */
const toldToNobody: ReadonlySet<string> = new Set<ProtocolErrorCode>([
  'no-proof',
  'bad-proof',
  'wrong-key',
  'unknown-token',
]);

/** What a peer is told when it is refused with `error`. */
export function toldOf(error: SeptumError): SeptumError {
  // The words of a DataError are for whoever keeps the server's disk.
  if (!toldToNobody.has(error.code) && !(error instanceof DataError)) return error;
  return new ProtocolError(
    'not-admitted',
    'this site, its key or its invite is not known here, or the proof does not hold; the study’s coordinating centre has the reason in its log',
  );
}
