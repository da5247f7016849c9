// A site's side of the conversation with the server: the session over whatever connection there is at the moment. A connection that
// breaks is opened again, with growing pauses, and the session goes on at its line.

import { messageOf, ProtocolError, TimeoutError, TransportError, type Clock } from '../base/index.ts';
import {
  decodeMessage,
  encodeMessage,
  message,
  type Exchange,
  type Message,
  type MessageKind,
  type Session,
  type Values,
} from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';

export interface LinkOptions {
  readonly site: string;
  readonly planHash: string;
  readonly session: Session;
  /** Opens a connection to the server. Rejects with TransportError. */
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Longest time without progress, in connecting or waiting, before the site gives up. */
  readonly timeoutMs: number;
  readonly onState?: (state: 'connected' | 'lost', detail: string) => void;
}

/** Refusals and broken connections in a row, without a message in between, after which the site gives up. */
const failuresMax = 20;
const pauseMsFirst = 50;
const pauseMsMost = 5_000;

export class SiteLink {
  readonly #options: LinkOptions;
  #connection: Connection | undefined;
  #failures = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  /** Milliseconds spent waiting for the server's messages. */
  waitedMs = 0;
  reconnects = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get bytesSent(): number {
    return this.#bytesSent + (this.#connection?.bytesSent ?? 0);
  }

  get bytesReceived(): number {
    return this.#bytesReceived + (this.#connection?.bytesReceived ?? 0);
  }

  /** Sends the script's next line. Resolves when the transport has taken it; what is lost is sent again after a reconnect. */
  async send(kind: MessageKind, values: Values = {}): Promise<void> {
    const composed = this.#options.session.compose(kind, values);
    if (!this.#connection) {
      await this.#open();
      return;
    }
    try {
      await this.#connection.send(encodeMessage(composed), this.#options.signal);
    } catch (error) {
      await this.#lost(error);
      await this.#open();
    }
  }

  /** The script's next line from the server. Throws ProtocolError `refused-by-peer`, TimeoutError, TransportError or the signal's reason. */
  async receive(kind: MessageKind): Promise<{ readonly message: Message; readonly line: Exchange }> {
    const { session, clock } = this.#options;
    const since = clock.nowMs();
    for (;;) {
      const connection = this.#connection ?? (await this.#open());
      try {
        const received = await this.#next(connection);
        const line = session.accept(received);
        if (line.kind !== kind)
          throw new ProtocolError('out-of-order', `expected ${kind}, the script has ${line.kind}`);
        this.#failures = 0;
        this.waitedMs += clock.nowMs() - since;
        return { message: received, line };
      } catch (error) {
        await this.#lost(error);
      }
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#drop();
    await connection?.close();
  }

  async #next(connection: Connection): Promise<Message> {
    const frame = await connection.receive(this.#options.signal);
    if (!frame) throw new TransportError('closed', 'the server closed the connection');
    const received = decodeMessage(frame);
    if (received.kind === 'refuse') {
      const retry = received.scalars[0] === 1;
      throw new ProtocolError('refused-by-peer', `the server refused: ${received.text.slice(0, 1000)}`, {
        cause: retry ? 'retry' : undefined,
      });
    }
    return received;
  }

  async #open(): Promise<Connection> {
    const { connect, session, site, planHash, signal, clock, timeoutMs, onState } = this.#options;
    const deadline = clock.nowMs() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      try {
        const connection = await connect(signal);
        this.#connection = connection;
        await connection.send(
          encodeMessage(message('hello', { site, plan: planHash, sequence: session.position })),
          signal,
        );
        const welcome = await this.#next(connection);
        if (welcome.kind !== 'welcome')
          throw new ProtocolError('out-of-order', `expected welcome, got ${welcome.kind}`);
        if (welcome.plan !== planHash)
          throw new ProtocolError('plan-mismatch', 'the server runs another plan than this site approved');
        for (const again of session.resendFrom(welcome.sequence)) await connection.send(encodeMessage(again), signal);
        onState?.('connected', connection.remote);
        return connection;
      } catch (error) {
        await this.#lost(error);
        if (clock.nowMs() > deadline) {
          throw new TimeoutError(
            `site ${site}: no connection to the server within ${Math.round(timeoutMs / 1000)} s: ${messageOf(error)}`,
            { cause: error },
          );
        }
        await clock.sleep(Math.min(pauseMsMost, pauseMsFirst * 2 ** Math.min(10, this.#failures)), signal);
      }
    }
  }

  /** After a failure: lets the connection go, and throws when another attempt cannot help. */
  async #lost(error: unknown): Promise<void> {
    const connection = this.#connection;
    this.#drop();
    await connection?.close();
    this.#options.signal.throwIfAborted();
    const again =
      error instanceof TransportError ||
      (error instanceof ProtocolError &&
        (error.code !== 'refused-by-peer' || error.cause === 'retry') &&
        error.code !== 'plan-mismatch');
    this.#failures += 1;
    if (!again || this.#failures > failuresMax) throw error;
    this.reconnects += 1;
    this.#options.onState?.('lost', messageOf(error));
  }

  #drop(): void {
    this.#bytesSent += this.#connection?.bytesSent ?? 0;
    this.#bytesReceived += this.#connection?.bytesReceived ?? 0;
    this.#connection = undefined;
  }
}
