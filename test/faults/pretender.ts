// A peer that speaks the protocol as a site does, without being one: it follows the site's script as far as the test wants, and then not.

import {
  decodeMessage,
  hello,
  type Message,
  planHash,
  type ScriptFacts,
  Session,
  siteScript,
} from '../../src/protocol/index.ts';
import { type Tensor, zeros } from '../../src/tensor/index.ts';
import type { Connection } from '../../src/transport/index.ts';
import { frameOf } from './mutations.ts';
import type { Planned } from './party.ts';

export class Pretender {
  readonly #connection: Connection;
  readonly #session: Session;

  private constructor(connection: Connection, session: Session) {
    this.#connection = connection;
    this.#session = session;
  }

  /** Says hello as site `index`, and reads the welcome unless it is deaf. */
  static async open({ plan }: Planned, index: number, connection: Connection, deaf = false): Promise<Pretender> {
    const facts: ScriptFacts = { counts: [], chunksHeld: 0 };
    const session = new Session('site', siteScript(plan, index, facts));
    await connection.send([frameOf(hello(plan.sites[index]!, planHash(plan), 0))]);
    if (deaf) return new Pretender(connection, session);
    const answer = await received(connection);
    if (answer?.kind !== 'welcome') throw new Error(`expected welcome, got ${answer?.kind} ${answer?.text}`);
    return new Pretender(connection, session);
  }

  /** Sends a census of these numbers, whatever they are: shapes fit, the numbers need not. */
  async census(counts: readonly number[], classes: readonly number[], sums: readonly number[]): Promise<void> {
    const line = this.#session.expected!;
    const values = [counts, classes, sums];
    const tensors = line.tensors.map(({ name, dtype, dims }, index): readonly [string, Tensor] => {
      const value = zeros(dtype, dims);
      (value.data as Float64Array<ArrayBuffer>).set(values[index]!);
      return [name, value];
    });
    await this.#connection.send([frameOf(this.#session.compose('census', { tensors: Object.fromEntries(tensors) }))]);
  }

  /** The server's next message; undefined when it closed. */
  next(): Promise<Message | undefined> {
    return received(this.#connection);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** The next message on a connection; undefined when it closed, or broke. */
export async function received(connection: Connection): Promise<Message | undefined> {
  const frame = await connection.receive().catch(() => undefined);
  return frame && decodeMessage(frame);
}
