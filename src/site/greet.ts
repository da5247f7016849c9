// What a site says first on a connection, and the server's answer. A site that has a key first has the server prove that it is the one
// that the site's operator was invited to, and says nothing before.

import { ProtocolError, TransportError } from '../base/index.ts';
import {
  type Cryptography,
  decodeMessage,
  encodeMessage,
  type Message,
  readRefusal,
  type Signer,
  SiteProof,
} from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';

/** What an enrolled site proves with. */
export interface SiteKeys {
  /** The public key of the server's identity. */
  readonly identity: Uint8Array;
  /** The site's key as it is at the moment: it may be replaced while the site takes part. */
  readonly open: () => Promise<Signer>;
  readonly cryptography: Cryptography;
}

export interface Greeting {
  /** hello, or enrol. */
  readonly says: Message;
  /** With `enrol`: the invite's token, in hexadecimal. */
  readonly token?: string;
  readonly keys: SiteKeys | undefined;
  /** The frame of a message that is about to leave. Default: its encoding. */
  readonly frameOf?: (message: Message) => readonly Uint8Array<ArrayBuffer>[];
  readonly signal: AbortSignal;
}

/** Says the site's first word and gives the server's answer, without its proof. Throws ProtocolError `wrong-identity` for another server. */
export async function greet(
  connection: Connection,
  { says, token, keys, signal, frameOf = encodeMessage }: Greeting,
): Promise<Message> {
  if (!keys) {
    await connection.send(frameOf(says), signal);
    return nextMessage(connection, signal);
  }
  const { binding } = connection;
  if (!binding) throw new TransportError('closed', 'a connection without TLS, on which no server can prove who it is');
  const signer = await keys.open();
  const proof = new SiteProof(
    { signer, cryptography: keys.cryptography, binding },
    keys.identity,
    await nextMessage(connection, signal),
  );
  await connection.send(frameOf(proof.sign(says, token)), signal);
  return proof.check(await nextMessage(connection, signal));
}

/** The next message on a connection. Throws ProtocolError `refused-by-peer` for a refuse, with a `Return` as its cause, and TransportError. */
export async function nextMessage(connection: Connection, signal: AbortSignal): Promise<Message> {
  const frame = await connection.receive(signal);
  if (!frame) throw new TransportError('closed', 'the server closed the connection');
  const received = decodeMessage(frame);
  if (received.kind === 'refuse') {
    const { text, mayReturn } = readRefusal(received);
    throw new ProtocolError('refused-by-peer', `the server refused: ${text}`, { cause: mayReturn });
  }
  return received;
}
