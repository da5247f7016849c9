// Who speaks: both sides of a connection prove it by signing one transcript, in which stand both challenges, what the site says it is and
// wants (site, plan or study), both public keys, and the connection's binding, which only the two ends of this very connection share. So
// nothing that was signed for one connection serves on another: not later, and not for somebody in between who passes bytes on.
//
//     server: challenge   signs (binding, its challenge, its key)
//     site:   hello       signs (binding, server's challenge and key, its challenge, key and token, site, plan, study)
//     server: welcome     signs the same again
//
// with `enrol` and `enrolled` in the place of the last two where the site brings an invite, and `withdraw` and `withdrawn` where it takes no
// further part. Each signature is of its message's kind. The
// site knows the server's key beforehand, and says nothing until the server has proved it. Signing, verifying and chance are handed in.

import { fromHex, ProtocolError, toHex } from '../base/index.ts';
import { message, type Message, type MessageKind, type Proof } from './message.ts';

/** A party's Ed25519 key (RFC 8032). */
export interface Signer {
  /** The 32 bytes of the public key. */
  readonly publicKey: Uint8Array;
  /** The 64 bytes of the signature of `bytes`. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** What proofs are made of and checked with. */
export interface Cryptography {
  /** Whether the 64 bytes are the Ed25519 signature of `bytes` by the key whose 32 public bytes are given; false for bytes that are no key. */
  verify(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean;
  /** Unpredictable bytes. */
  randomBytes(count: number): Uint8Array;
}

/** One end of one connection: the signer's key and the connection's binding. */
export interface End {
  readonly signer: Signer;
  readonly cryptography: Cryptography;
  /** What only the two ends of this connection share (`Connection.binding`). */
  readonly binding: Uint8Array;
}

const bytesOfProof = { challenge: 32, key: 32, token: 32, signature: 64 } as const;

/** The server's side of one opening. */
export class ServerProof {
  /** What the server says first. */
  readonly challenge: Message;
  readonly #end: End;
  readonly #proof: Proof;
  #said: Message | undefined;

  constructor(end: End) {
    this.#end = end;
    const own = ownProof(end);
    this.#proof = signed(own, end.signer, transcript('challenge', end.binding, own));
    this.challenge = message('challenge', { proof: this.#proof });
  }

  /**
   * What a site says, without its proof, with the public key by which it was signed for this connection, and with its token. Whose key that
   * is is not said here. Throws ProtocolError `no-proof`, `bad-field` or `bad-proof`.
   */
  take(received: Message): { readonly said: Message; readonly key: string; readonly token: string } {
    const enrols = received.kind === 'enrol';
    const { said, proof } = parted(received, { key: true, token: enrols });
    const { binding, cryptography } = this.#end;
    const bytes = transcript(received.kind, binding, this.#proof, received);
    if (!cryptography.verify(fromHex(proof.key), bytes, fromHex(proof.signature)))
      throw new ProtocolError(
        'bad-proof',
        `site ${JSON.stringify(received.site.slice(0, 64))}: its signature is not of this connection`,
      );
    this.#said = received;
    return { said, key: proof.key, token: proof.token };
  }

  /** The answer with the server's proof. To be called after `take`. */
  sign(answer: Message): Message {
    const { binding, signer } = this.#end;
    const none = { challenge: '', key: '', token: '', signature: '' };
    const bytes = transcript(answer.kind, binding, this.#proof, this.#said);
    return { ...answer, proof: signed(none, signer, bytes) };
  }
}

/** The site's side of one opening. */
export class SiteProof {
  readonly #end: End;
  readonly #server: Proof;
  #said: Message | undefined;

  /** Throws ProtocolError unless `challenge` is from the server whose public key is `identity`, on this connection. */
  constructor(end: End, identity: Uint8Array, challenge: Message) {
    this.#end = end;
    if (challenge.kind !== 'challenge')
      throw new ProtocolError('out-of-order', `expected challenge, got ${challenge.kind}`);
    const { proof } = parted(challenge, { key: true, token: false });
    this.#server = proof;
    if (proof.key !== toHex(identity))
      throw new ProtocolError('wrong-identity', 'the server has another identity key than the one of the invite');
    if (!end.cryptography.verify(identity, transcript('challenge', end.binding, proof), fromHex(proof.signature)))
      throw new ProtocolError(
        'wrong-identity',
        'the server’s identity has not signed this connection: somebody is between this site and the server',
      );
  }

  /** What the site says, with its proof; `token` is an invite's, in hexadecimal. */
  sign(said: Message, token = ''): Message {
    const { signer, binding } = this.#end;
    const unsigned = { ...said, proof: { ...ownProof(this.#end), token } };
    const bytes = transcript(said.kind, binding, this.#server, unsigned);
    this.#said = { ...said, proof: signed(unsigned.proof, signer, bytes) };
    return this.#said;
  }

  /** The server's answer without its proof. Throws ProtocolError unless the server has signed it for this connection. */
  check(answer: Message): Message {
    const { said, proof } = parted(answer, { key: false, token: false });
    const { binding, cryptography } = this.#end;
    const bytes = transcript(answer.kind, binding, this.#server, this.#said);
    if (!cryptography.verify(fromHex(this.#server.key), bytes, fromHex(proof.signature)))
      throw new ProtocolError('wrong-identity', `the server’s ${answer.kind} is not signed for this connection`);
    return said;
  }
}

function ownProof({ signer, cryptography }: End): Proof {
  const challenge = toHex(cryptography.randomBytes(bytesOfProof.challenge));
  return { challenge, key: toHex(signer.publicKey), token: '', signature: '' };
}

function signed(proof: Proof, signer: Signer, bytes: Uint8Array): Proof {
  return { ...proof, signature: toHex(signer.sign(bytes)) };
}

/** A message and its proof apart. Throws ProtocolError when the proof is missing, or has other fields than these or of other lengths. */
function parted(
  { proof, ...said }: Message,
  has: { readonly key: boolean; readonly token: boolean },
): { readonly said: Message; readonly proof: Proof } {
  if (!proof) throw new ProtocolError('no-proof', `${said.kind} without proof of who speaks`);
  const wanted = { challenge: has.key, key: has.key, token: has.token, signature: true };
  for (const [field, bytes] of Object.entries(bytesOfProof) as [keyof Proof, number][]) {
    const expected = wanted[field] ? bytes : 0;
    if (proof[field].length !== 2 * expected)
      throw new ProtocolError(
        'bad-field',
        `${said.kind}: expected ${expected} bytes of ${field}, got ${proof[field].length / 2}`,
      );
  }
  return { said, proof };
}

const CONTEXT = 'septum proof 1';

/** The bytes that are signed: every part with its length before it, as uint32, little-endian. */
function transcript(kind: MessageKind, binding: Uint8Array, server: Proof, said?: Message): Uint8Array {
  const text = new TextEncoder();
  const parts = [text.encode(CONTEXT), text.encode(kind), binding, fromHex(server.challenge), fromHex(server.key)];
  if (said?.proof) {
    const { challenge, key, token } = said.proof;
    parts.push(fromHex(challenge), fromHex(key), fromHex(token));
    parts.push(text.encode(said.site), fromHex(said.plan), text.encode(said.text));
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.length, true);
    bytes.set(part, offset + 4);
    offset += 4 + part.length;
  }
  return bytes;
}
