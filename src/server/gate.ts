// The gate of a study: who comes in proves, on this very connection, that he has the key of a site that is enrolled, or brings an invite and
// becomes one. Whoever does not is refused, and told no more than that: not which names, keys or tokens there are. What a site may do ends
// as soon as the registry says so, on the connections that stand as well.

import {
  type Clock,
  DataError,
  fromHex,
  ProtocolError,
  type ProtocolErrorCode,
  type SeptumError,
  sha256Hex,
} from '../base/index.ts';
import { checkEnrol, type Cryptography, enrolled, type Message, ServerProof, type Signer } from '../protocol/index.ts';
import type { Registry } from '../store/index.ts';
import type { Connection } from '../transport/index.ts';

export interface GateOptions {
  /** The study's name in the registry. */
  readonly study: string;
  /** The server's identity. */
  readonly identity: Signer;
  readonly cryptography: Cryptography;
  readonly registry: Registry;
  /** The date, in milliseconds since 1970. */
  readonly dateMs: () => number;
}

/** How often the registry is asked whether somebody else has written. */
const watchMs = 250;

/** A site that is in. */
interface Guest {
  readonly site: string;
  readonly key: string;
  readonly dismiss: (error: ProtocolError) => void;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #guests = new Set<Guest>();
  #seen: number;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#seen = options.registry.version();
  }

  /** The opening of a connection. Throws ProtocolError `no-proof` where the transport has no binding. */
  meet(connection: Connection): Entrance {
    const { binding } = connection;
    if (!binding) throw new ProtocolError('no-proof', 'the connection has nothing that a proof could be bound to');
    const { identity, cryptography } = this.#options;
    return new Entrance(this, this.#options, new ServerProof({ signer: identity, cryptography, binding }));
  }

  /** Has a site that is in dismissed once it may not stay, until the function that it gives is called. */
  host(guest: Guest): () => void {
    this.#guests.add(guest);
    return () => void this.#guests.delete(guest);
  }

  /** Looks after those who are in, until the signal aborts. */
  async watch(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(watchMs, signal).catch(() => undefined);
      try {
        const version = this.#options.registry.version();
        if (version !== this.#seen) this.look();
        this.#seen = version;
      } catch (error) {
        // While the registry cannot be read nobody comes in, and who is in stays; it is asked again.
        if (!(error instanceof DataError)) throw error;
      }
    }
  }

  /** Dismisses everyone whose key does not serve any more. */
  look(): void {
    for (const guest of this.#guests) {
      const error = this.objection(guest.site, guest.key);
      if (error) guest.dismiss(error);
    }
  }

  /** Why a site with this key may not be in; undefined when it may. */
  objection(site: string, key: string): ProtocolError | undefined {
    const { registry, study } = this.#options;
    switch (registry.standing(study, site, key)) {
      case 'enrolled':
        return undefined;
      case 'revoked':
        return new ProtocolError('revoked', `site ${site} was revoked`);
      case 'replaced':
        return new ProtocolError('key-replaced', `site ${site} has another key now than this one`);
      case 'unknown':
        return new ProtocolError(
          'wrong-key',
          `the study knows no site ${JSON.stringify(site.slice(0, 64))} with this key`,
        );
    }
  }
}

/** One connection at the gate. */
export class Entrance {
  readonly #gate: Gate;
  readonly #options: GateOptions;
  readonly #proof: ServerProof;

  constructor(gate: Gate, options: GateOptions, proof: ServerProof) {
    this.#gate = gate;
    this.#options = options;
    this.#proof = proof;
  }

  /** What the peer is told first. */
  get challenge(): Message {
    return this.#proof.challenge;
  }

  /** A hello without its proof, and the key that it was proved with. Throws ProtocolError when the key is not this site's. */
  admit(received: Message): { readonly said: Message; readonly key: string } {
    const { said, key } = this.#proof.take(received);
    const objection = this.#gate.objection(said.site, key);
    if (objection) throw objection;
    return { said, key };
  }

  /** Enrols a site that brings a token, and gives the answer. Throws ProtocolError when the token does not serve. */
  enrol(received: Message): { readonly answer: Message; readonly site: string } {
    const { registry, study, dateMs } = this.#options;
    const { said, key, token } = this.#proof.take(received);
    checkEnrol(said);
    const hash = sha256Hex(fromHex(token));
    const standing = said.text === study ? registry.enrol(study, said.site, hash, key, dateMs()) : 'unknown';
    if (standing !== 'open') throw tokenError(standing, said.site);
    this.#gate.look();
    return { answer: this.sign(enrolled(said.site, study)), site: said.site };
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
