// The server's side of one site's session. It outlives connections: what arrives is held against the site's script at once, a bad
// message costs its connection, and a site that connects again goes on at its line. The trainer reads messages and sends replies here
// without knowing which connection carries them.

import { type Clock, messageOf, ProtocolError, TimeoutError, TransportError } from '../base/index.ts';
import {
  decodeMessage,
  encodeMessage,
  type Exchange,
  type Message,
  message,
  type MessageKind,
  type Session,
  type Values,
} from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';

export interface Received {
  readonly message: Message;
  readonly line: Exchange;
}

/** Counts messages over all sites, so that their order of arrival is known. */
let arrivals = 0;

export interface SiteLinkOptions {
  readonly site: string;
  readonly planHash: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How long the study waits for a site that is lost. */
  readonly timeoutMs: number;
  readonly onState: (state: 'connected' | 'lost' | 'refused', detail: string) => void;
}

/** Messages that a site may be ahead of the trainer by; more stay unread in the transport. */
const inboxMost = 8;

export class ServerSiteLink {
  readonly #options: SiteLinkOptions;
  #session: Session;
  #connection: Connection | undefined;
  readonly #inbox: (Received & { readonly arrival: number })[] = [];
  /** Wakes whoever waits for a change: a message, room in the inbox, a connection. */
  #wake: (() => void)[] = [];
  #restarts = 0;
  #bytesReceived = 0;
  #bytesSent = 0;
  waitedMs = 0;

  constructor(session: Session, options: SiteLinkOptions) {
    this.#session = session;
    this.#options = options;
    options.signal.addEventListener('abort', () => this.#notify(), { once: true });
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  get position(): number {
    return this.#session.position;
  }

  get bytesReceived(): number {
    return this.#bytesReceived + (this.#connection?.bytesReceived ?? 0);
  }

  get bytesSent(): number {
    return this.#bytesSent + (this.#connection?.bytesSent ?? 0);
  }

  /** Replaces the session of a site process that starts over; only where the study allows it. A `receive` that waits throws ProtocolError. */
  restart(session: Session): void {
    this.#session = session;
    this.#inbox.length = 0;
    this.#restarts += 1;
    this.#notify();
  }

  /**
   * Serves a connection whose hello was accepted, until it ends. Never rejects: what goes wrong on it closes it, and is told.
   * Throws ProtocolError at once when the site's position cannot be reconciled with this session.
   */
  async serve(connection: Connection, peerPosition: number): Promise<void> {
    const { planHash, onState, site } = this.#options;
    const again = this.#session.resendFrom(peerPosition);
    this.#connection = connection;
    onState('connected', connection.remote);
    try {
      await connection.send(encodeMessage(message('welcome', { plan: planHash, sequence: this.#session.position })));
      for (const sent of again) await connection.send(encodeMessage(sent));
      this.#notify();
      await this.#read(connection);
      onState('lost', `site ${site} closed its connection`);
    } catch (error) {
      if (error instanceof ProtocolError) {
        onState('refused', `site ${site}: ${error.code}: ${error.message}`);
        await refuse(connection, error, true);
      } else {
        onState('lost', `site ${site}: ${messageOf(error)}`);
      }
    } finally {
      if (this.#connection === connection) {
        this.#bytesReceived += connection.bytesReceived;
        this.#bytesSent += connection.bytesSent;
        this.#connection = undefined;
      }
      await connection.close();
      this.#notify();
    }
  }

  /** The next message of that kind from the site. Throws TimeoutError when the site stays away, or the signal's reason. */
  async receive(kind: MessageKind): Promise<Received> {
    const { clock } = this.#options;
    const since = clock.nowMs();
    await this.#until(() => this.#inbox.length > 0, kind);
    this.waitedMs += clock.nowMs() - since;
    const received = this.#inbox.shift() as Received;
    this.#notify();
    if (received.line.kind !== kind)
      throw new TypeError(`the trainer expects ${kind}, the script has ${received.line.kind}`);
    return received;
  }

  /** When the oldest message that nobody has taken arrived, as a count over all sites; undefined when there is none. */
  get oldestArrival(): number | undefined {
    return this.#inbox[0]?.arrival;
  }

  /** Resolves when there is a message to take. Throws as `receive` does. */
  awaitMessage(): Promise<void> {
    return this.#until(() => this.#inbox.length > 0, 'next message');
  }

  /** Sends the script's next line, now or as soon as the site is connected again. Resolves when the transport took it or it waits for the site. */
  async send(kind: MessageKind, values: Values = {}): Promise<void> {
    const composed = this.#session.compose(kind, values);
    const connection = this.#connection;
    if (!connection) return;
    try {
      await connection.send(encodeMessage(composed), this.#options.signal);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!(error instanceof TransportError)) throw error;
      await connection.close(); // `serve` sees the end; the session keeps the message for the next connection.
    }
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  /** Waits until the site has read everything and gone, or `timeoutMs` passes. */
  async drain(timeoutMs: number): Promise<void> {
    const deadline = this.#options.clock.nowMs() + timeoutMs;
    while (this.#connection && this.#options.clock.nowMs() < deadline) {
      const timer = new AbortController();
      const left = Math.max(1, deadline - this.#options.clock.nowMs());
      await Promise.race([this.#changed(), this.#options.clock.sleep(left, timer.signal).catch(() => undefined)]);
      timer.abort(); // A timer that is left running would keep the process alive.
    }
  }

  async #read(connection: Connection): Promise<void> {
    for (;;) {
      while (this.#inbox.length >= inboxMost) {
        this.#options.signal.throwIfAborted();
        await this.#changed();
      }
      const frame = await connection.receive(this.#options.signal);
      if (!frame) return;
      const received = decodeMessage(frame);
      if (received.kind === 'refuse')
        throw new TransportError('refused', `the site refused: ${received.text.slice(0, 1000)}`);
      const line = this.#session.accept(received);
      this.#inbox.push({ message: received, line, arrival: arrivals++ });
      this.#notify();
    }
  }

  async #until(ready: () => boolean, what: string): Promise<void> {
    const { clock, signal, timeoutMs, site } = this.#options;
    const restarts = this.#restarts;
    let lostSince = this.#connection ? undefined : clock.nowMs();
    while (!ready()) {
      signal.throwIfAborted();
      if (this.#restarts !== restarts) throw new ProtocolError('out-of-order', `site ${site} started over`);
      if (this.#connection) lostSince = undefined;
      else lostSince ??= clock.nowMs();
      if (lostSince === undefined) {
        await this.#changed();
        continue;
      }
      const left = lostSince + timeoutMs - clock.nowMs();
      if (left <= 0) {
        throw new TimeoutError(
          `site ${site} is lost: no connection for ${Math.round(timeoutMs / 1000)} s while the study waits for its ${what}. The study stops; what was trained so far is in the last commit`,
        );
      }
      const timer = new AbortController();
      await Promise.race([this.#changed(), clock.sleep(left, timer.signal).catch(() => undefined)]);
      timer.abort();
    }
  }

  /** Resolves when something changed: a message, room for one, a connection gained or lost, the end of the study. */
  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

/** Tells a peer why it is refused, and closes. `retry` says that the same peer may try again. */
export async function refuse(connection: Connection, error: ProtocolError, retry: boolean): Promise<void> {
  try {
    await connection.send(
      encodeMessage(message('refuse', { text: `${error.code}: ${error.message}`, scalars: [retry ? 1 : 0] })),
    );
  } catch {
    // The peer is gone; there is nobody to tell.
  }
  await connection.close();
}
