// A peer that speaks the protocol as a site does, without being one: it follows the site's script as far as the test wants, and then not.

import { sha256Hex } from '../../src/base/index.ts';
import {
  decodeMessage,
  hello,
  type Message,
  planHash,
  type ScriptFacts,
  unknownFacts,
  Session,
  siteScript,
} from '../../src/protocol/index.ts';
import { bytesOf, type Tensor, zeros } from '../../src/tensor/index.ts';
import type { Connection } from '../../src/transport/index.ts';
import { frameOf } from './mutations.ts';
import type { Planned } from './party.ts';

export class Pretender {
  #connection: Connection;
  readonly #session: Session;
  readonly #facts: ScriptFacts;
  readonly #greet: (position: number) => Message;

  private constructor(
    connection: Connection,
    session: Session,
    facts: ScriptFacts,
    greet: (position: number) => Message,
  ) {
    this.#connection = connection;
    this.#session = session;
    this.#facts = facts;
    this.#greet = greet;
  }

  /** Says hello as site `index`, and reads the welcome unless it is deaf. */
  static async open({ plan }: Planned, index: number, connection: Connection, deaf = false): Promise<Pretender> {
    const facts = unknownFacts(plan);
    const session = new Session('site', siteScript(plan, index, facts));
    const pretender = new Pretender(connection, session, facts, (position) =>
      hello(plan.sites[index]!, planHash(plan), position, 'pretender'),
    );
    await pretender.#enter(deaf);
    return pretender;
  }

  /** Comes back on another connection, where it stands. */
  async comeBack(connection: Connection): Promise<void> {
    this.#connection = connection;
    await this.#enter(false);
  }

  async #enter(deaf: boolean): Promise<void> {
    await this.#connection.send([frameOf(this.#greet(this.#session.position))]);
    if (deaf) return;
    const answer = await received(this.#connection);
    if (answer?.kind !== 'welcome') throw new Error(`expected welcome, got ${answer?.kind} ${answer?.text}`);
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
    const census = { tensors: Object.fromEntries(tensors), scalars: [0, 0] };
    await this.#connection.send([frameOf(this.#session.compose('census', census))]);
  }

  /** Sends the script's next message, each tensor full of one number: 0 where `fill` does not say it by the tensor's name. */
  async say(fill: Readonly<Record<string, number>>): Promise<void> {
    const { kind, tensors, scalars, digest } = this.#session.expected!;
    const full = tensors.map(({ name, dtype, dims }): readonly [string, Tensor] => {
      const value = zeros(dtype, dims);
      (value.data as Float64Array).fill(fill[name] ?? 0);
      return [name, value];
    });
    const composed = this.#session.compose(kind, {
      tensors: Object.fromEntries(full),
      scalars: new Array<number>(scalars).fill(0),
      ...(digest ? { digest: sha256Hex(...full.map(([, value]) => bytesOf(value))) } : {}),
    });
    await this.#connection.send([frameOf(composed)]);
  }

  /** Takes `pooled` as a site does: from there on it knows its script. */
  async pooled({ plan }: Planned): Promise<void> {
    const answer = await this.next();
    if (answer?.kind !== 'pooled') throw new Error(`expected pooled, got ${answer?.kind} ${answer?.text}`);
    const counts = answer.tensors[0]!.tensor.data as Int32Array;
    this.#facts.counts = plan.sites.map((_, site) => {
      const [train, val, test] = counts.subarray(3 * site, 3 * site + 3) as unknown as [number, number, number];
      return { train, val, test };
    });
    this.#session.accept(answer);
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
