// A site's side of the conversation with the server: the session over whatever connection there is at the moment. A connection that
// breaks is opened again, with growing pauses, and the session goes on at its line.
//
// A server that is connected and silent is waited for without a bound: it may be waiting for other sites, or training alone for days, and
// a site cannot tell. That it lives is the transport's to watch, by its heartbeats.

import {
  type Clock,
  codeOf,
  messageOf,
  ProtocolError,
  randomStream,
  type RandomStream,
  SeptumError,
  TimeoutError,
  TransportError,
  withDeadline,
} from '../base/index.ts';
import {
  checkWelcome,
  type Exchange,
  hello,
  type Message,
  type MessageKind,
  refusal,
  type Return,
  type Session,
  type Values,
} from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';
import { greet, nextMessage, type SiteKeys } from './greet.ts';
import type { OutboundLedger } from './outbound-ledger.ts';

export interface LinkOptions {
  readonly site: string;
  readonly planHash: string;
  /** Tells this process from another one under the site's name. */
  readonly life: string;
  readonly session: Session;
  /** Records each message before it leaves. */
  readonly outbound: OutboundLedger;
  /** With them both sides prove who they are; without, names are all there is. */
  readonly keys?: SiteKeys | undefined;
  /** Opens a connection to the server. Rejects with TransportError. */
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Longest time without a connection before the site gives up. */
  readonly timeoutMs: number;
  readonly onState?: (state: 'connected' | 'lost', detail: string, code: string) => void;
}

/** Refusals and broken connections in a row, without a message in between, after which the site gives up. */
const failuresMax = 20;
const pauseMsFirst = 50;
/** A study goes on so long after its server is back, at the most. */
const pauseMsMost = 2_000;
/** How long the server may take to answer a hello. */
const welcomeTimeoutMs = 10_000;
/** How long a site looks for the reason why its connection was closed, most of which is here already. */
const partingMs = 200;
/** How long a site that has everything looks for a server that has not heard so. */
const partingTimeoutMs = 5_000;
/** How long telling the server why the site closes may take. */
const refusalTimeoutMs = 2_000;

export class SiteLink {
  readonly #options: LinkOptions;
  #session: Session;
  #connection: Connection | undefined;
  readonly #jitter: RandomStream;
  /** Attempts in a row that came to nothing: the pauses grow with them. */
  #attempts = 0;
  /** Those of them in which there was a connection. A server that is away is waited for as long as `timeoutMs` says. */
  #failures = 0;
  /** Whether the server has shown before that it runs the plan that this site approved. */
  #welcomed = false;
  #bytesSent = 0;
  #bytesReceived = 0;
  /** Milliseconds spent waiting for the server's messages. */
  waitedMs = 0;
  reconnects = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#jitter = randomStream(0, 'pauses', [options.site, options.planHash]);
  }

  get bytesSent(): number {
    return this.#bytesSent + (this.#connection?.bytesSent ?? 0);
  }

  get bytesReceived(): number {
    return this.#bytesReceived + (this.#connection?.bytesReceived ?? 0);
  }

  /** Sends the script's next line. Resolves when the transport has taken it; what is lost is sent again after a reconnect. */
  async send(kind: MessageKind, values: Values = {}): Promise<void> {
    const { signal, outbound } = this.#options;
    const session = this.#session;
    // The first hello comes before the first line: position 0 says that this process is a new one.
    const connection = this.#connection ?? (await this.#open());
    const composed = session.compose(kind, values);
    try {
      const frame = outbound.frameOf(composed);
      signal.throwIfAborted();
      if (!connection.trySend(frame)) await connection.send(frame, signal);
    } catch (error) {
      await this.#lost((await this.#partingWord(connection)) ?? error);
      await this.#open();
    }
  }

  /**
   * Goes on with another session, from its start, because of `error`: the server has begun anew or gone back to a commit. Throws `error`
   * when it is another one, or this is one failure too many.
   */
  async beginAnew(session: Session, error: unknown): Promise<void> {
    const { clock, signal, onState } = this.#options;
    const isTold = error instanceof ProtocolError && error.code === 'refused-by-peer' && error.cause === 'anew';
    if (!isTold || this.#failures > failuresMax) throw error;
    this.#session = session;
    this.reconnects += 1;
    onState?.('lost', messageOf(error), codeOf(error));
    // The server is there: how long it was away does not count.
    await clock.sleep(this.#pauseMs(this.#failures), signal);
  }

  /** What the server said of why it closed a connection on which nothing more can be sent; undefined when it said nothing. */
  async #partingWord(connection: Connection): Promise<unknown> {
    try {
      for (;;) await withDeadline((ended) => this.#next(connection, ended), partingMs, 'reading', this.#options.clock);
    } catch (error) {
      return error instanceof ProtocolError && error.code === 'refused-by-peer' ? error : undefined;
    }
  }

  /**
   * The script's next line from the server. `inspect` throws ProtocolError for a message that fits the script and still cannot be.
   * Throws ProtocolError `refused-by-peer`, TimeoutError, TransportError or the signal's reason.
   */
  async receive(
    kind: MessageKind,
    inspect?: (message: Message) => void,
  ): Promise<{ readonly message: Message; readonly line: Exchange }> {
    const { clock } = this.#options;
    const session = this.#session;
    const since = clock.nowMs();
    for (;;) {
      const connection = this.#connection ?? (await this.#open());
      try {
        const received = await this.#next(connection);
        const line = session.accept(received, inspect);
        if (line.kind !== kind)
          throw new ProtocolError('out-of-order', `expected ${kind}, the script has ${line.kind}`);
        this.#attempts = this.#failures = 0;
        this.waitedMs += clock.nowMs() - since;
        return { message: received, line };
      } catch (error) {
        await this.#lost(error);
      }
    }
  }

  /**
   * Sends the script's last line. The site has kept everything, so it ends well whether it arrives or not; but a server that does not hear
   * so waits for nothing, so where the connection is gone another is tried for a while.
   */
  async farewell(): Promise<void> {
    const { signal, outbound } = this.#options;
    const composed = this.#session.compose('acknowledge');
    let connection = this.#connection;
    try {
      if (!connection) throw new TransportError('closed', 'the connection is gone');
      await connection.send(outbound.frameOf(composed), signal);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      this.#drop();
      await connection?.close();
      connection = await this.#open(partingTimeoutMs).catch(() => undefined); // A server that has ended, or has another word for it.
      signal.throwIfAborted();
    }
    if (connection) await this.#afterTheEnd(connection);
  }

  /** The server has nothing to do but to close. What it sends instead is recorded as refused, and not answered. */
  async #afterTheEnd(connection: Connection): Promise<void> {
    const { outbound, clock } = this.#options;
    try {
      const { kind } = await withDeadline((ended) => this.#next(connection, ended), partingMs, 'closing', clock);
      throw new ProtocolError('out-of-order', `${kind} came after the end of the study`);
    } catch (error) {
      // That it closes, or is silent, is in order; and the study is over either way.
      outbound.refused(error);
    }
  }

  /** Closes; with a reason the server is told its code, and nothing else of it: the words may speak of records. */
  async close(reason?: unknown): Promise<void> {
    const connection = this.#connection;
    this.#drop();
    if (connection && reason !== undefined)
      await this.#tell(connection, new SeptumError(codeOf(reason), 'the site has stopped'), 'never');
    await connection?.close();
  }

  async #tell(connection: Connection, error: SeptumError, mayReturn: Return): Promise<void> {
    try {
      const frame = this.#options.outbound.frameOf(refusal(error, mayReturn));
      await withDeadline((ended) => connection.send(frame, ended), refusalTimeoutMs, 'telling', this.#options.clock);
    } catch {
      // The server is gone, or does not read, and there is nobody to tell; or the word cannot be recorded, and must not leave.
    }
  }

  #next(connection: Connection, signal = this.#options.signal): Promise<Message> {
    return nextMessage(connection, signal);
  }

  async #open(timeoutMs = this.#options.timeoutMs): Promise<Connection> {
    const { connect, site, planHash, life, keys, signal, clock, onState, outbound } = this.#options;
    const session = this.#session;
    const deadline = clock.nowMs() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      try {
        const connection = await connect(signal);
        this.#connection = connection;
        const answer = await withDeadline(
          (ended) =>
            greet(connection, {
              says: hello(site, planHash, session.position, life),
              frameOf: (said) => outbound.frameOf(said),
              keys,
              signal: ended,
            }),
          welcomeTimeoutMs,
          'waiting for welcome',
          clock,
          signal,
        );
        checkWelcome(answer, planHash);
        for (const again of session.resendFrom(answer.sequence))
          await connection.send(outbound.frameOf(again, true), signal);
        this.#welcomed = true;
        onState?.('connected', connection.remote, '');
        return connection;
      } catch (error) {
        await this.#lost(error);
        if (clock.nowMs() > deadline) {
          throw new TimeoutError(
            `site ${site}: no connection to the server within ${Math.round(timeoutMs / 1000)} s: ${messageOf(error)}`,
            { cause: error },
          );
        }
        await clock.sleep(this.#pauseMs(this.#attempts), signal);
      }
    }
  }

  /** After a failure: lets the connection go, and throws when another attempt cannot help. */
  async #lost(error: unknown): Promise<void> {
    this.#options.outbound.refused(error);
    const connection = this.#connection;
    this.#drop();
    this.#attempts += 1;
    if (connection) this.#failures += 1;
    const again = this.#mayTryAgain(error) && this.#failures <= failuresMax;
    if (connection && error instanceof ProtocolError && error.code !== 'refused-by-peer')
      await this.#tell(connection, error, again ? 'again' : 'never');
    await connection?.close();
    this.#options.signal.throwIfAborted();
    if (!again) throw error;
    this.reconnects += 1;
    this.#options.onState?.('lost', messageOf(error), codeOf(error));
  }

  /** Twice as long after each failure, give or take a quarter, so that the sites of a server that was away do not all come at once. */
  #pauseMs(failures: number): number {
    const whole = Math.min(pauseMsMost, pauseMsFirst * 2 ** Math.min(10, failures));
    return whole * (0.75 + this.#jitter.uniform(this.reconnects) / 2);
  }

  #drop(): void {
    this.#bytesSent += this.#connection?.bytesSent ?? 0;
    this.#bytesReceived += this.#connection?.bytesReceived ?? 0;
    this.#connection = undefined;
  }

  #mayTryAgain(error: unknown): boolean {
    if (error instanceof TransportError || error instanceof TimeoutError) return true;
    if (!(error instanceof ProtocolError)) return false;
    if (error.code === 'refused-by-peer') return error.cause === 'again';
    const anotherServer = error.code === 'plan-mismatch' || error.code === 'wrong-identity';
    return !anotherServer || this.#welcomed;
  }
}
