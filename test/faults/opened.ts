// A connection to a guarded server on which the server has spoken and the peer has not: what a peer makes of it is the test's.

import { type Message, type Signer, SiteProof } from '../../src/protocol/index.ts';
import type { Connection } from '../../src/transport/index.ts';
import { connectWebSocket, type Introduction } from '../../src/transport/node/index.ts';
import type { Guarded } from './guarded.ts';
import { frameOf } from './mutations.ts';
import { received } from './pretender.ts';

/** A connection whose challenge was read. */
export interface Opened {
  readonly connection: Connection;
  readonly challenge: Message;
}

/** Connects, with a certificate or without. */
export async function openedTo(url: string, introduction?: Introduction): Promise<Opened> {
  const connection = await connectWebSocket(url, { introduction });
  const challenge = await received(connection);
  if (challenge?.kind !== 'challenge') throw new Error(`expected challenge, got ${challenge?.kind}`);
  return { connection, challenge };
}

/** `says` with the proof of whoever has `signer`; A has joined. */
export async function provedTo(
  guarded: Guarded,
  { connection, challenge }: Opened,
  signer: Signer,
  says: Message,
  token = '',
): Promise<Message> {
  const { cryptography, identity } = await guarded.keysOf('A');
  const { binding } = connection;
  return new SiteProof({ signer, cryptography, binding: binding! }, identity, challenge).sign(says, token);
}

/** Sends one message and gives the answer; after a refusal the server has closed. */
export async function answerTo({ connection }: Opened, says: Message): Promise<Message | undefined> {
  await connection.send([frameOf(says)]);
  const answer = await received(connection);
  if (answer?.kind === 'refuse') {
    const more = await received(connection);
    if (more) throw new Error(`${more.kind} came after the refusal`);
  }
  await connection.close();
  return answer;
}
