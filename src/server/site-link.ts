// The server's side of one site's session. It outlives connections: what arrives is held against the site's script at once, a bad
// message costs its connection, and a site that connects again goes on at its line. The trainer reads messages and sends replies here
// without knowing which connection carries them.

import {
  type Clock,
  codeOf,
  messageOf,
  ProtocolError,
  type SeptumError,
  TimeoutError,
  TransportError,
  withDeadline,
} from '../base/index.ts';
import {
  decodeMessage,
  encodeMessage,
  type Exchange,
  type Message,
  type MessageKind,
  readRefusal,
  type Return,
  type Session,
  type Values,
  welcome,
} from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';
import { Changes } from './changes.ts';
import { refuse, wentBack } from './refuse.ts';

export interface Received {
  readonly message: Message;
  readonly line: Exchange;
}

/** Counts messages over all sites, so that their order of arrival is known. */
let arrivals = 0;

/** How many messages have come so far, over all sites. */
export function arrivalsSoFar(): number {
  return arrivals;
}

export interface SiteLinkOptions {
  readonly site: string;
  readonly planHash: string;
  readonly clock: Clock;
  /** How long the study waits for a site that is lost, and for one that does not read what it is sent. */
  readonly timeoutMs: number;
  /** How long the study waits for a site that has not connected yet; undefined: until it comes. */
  readonly joinTimeoutMs: number | undefined;
  /** How long the study waits for a site that is connected, has all that it needs, and says nothing. */
  readonly silenceTimeoutMs: number;
  /** Whether the study stands still for the site's messages: of others each is taken whenever it comes. */
  readonly isAwaited: () => boolean;
  /** How long the study waits for the site, lost or silent, before it goes on without it; undefined while it cannot. */
  readonly stragglerMs: () => number | undefined;
  /** Makes the error that tells the study to. */
  readonly straggles: (what: string) => Error;
  /** Told whenever the site is there or gone, or has said something. */
  readonly onChange: () => void;
  /** Whether a commit was written from which what was trained can be had. */
  readonly hasCommit: () => boolean;
  /** Messages that a site may be ahead of the trainer by; more stay unread in the transport. */
  readonly inboxMost: number;
  /** Throws ProtocolError for a message that fits the script and still cannot be. */
  readonly inspect: (message: Message) => void;
  /** A site is `left` that has everything and has gone. */
  readonly onState: (state: 'connected' | 'left' | 'lost' | 'refused', detail: string, code: string) => void;
}

/** A site whose connection broke is back within this time, if it lives and its network does. */
const returnMs = 10_000;
/** A site has kept what it ends with within this time, or has not heard that it is to. */
const keepingMs = 30_000;

export class ServerSiteLink {
  readonly #options: SiteLinkOptions;
  readonly #stopped = new AbortController();
  #farewell: ProtocolError | undefined;
  #mayReturn: Return = 'never';
  #session: Session;
  #connection: Connection | undefined;
  /** What goes out first on the connection; nothing that the trainer sends comes before it has. */
  #greeting: Promise<void> = Promise.resolve();
  readonly #inbox: (Received & { readonly arrival: number })[] = [];
  /** A message, room for one, a connection gained or lost, a line that passed, the end of the study. */
  readonly #changes: Changes;
  #restarts = 0;
  #bytesReceived = 0;
  #bytesSent = 0;
  readonly #bornMs: number;
  #lostSince: number | undefined;
  /** Why the last connection ended. */
  #lostWhy = '';
  /** When the site last said something, was sent something, or connected: what it owes it can have begun then at the earliest. */
  #quietSince = 0;
  /** Where the site stood when its silence last cost it its connection. */
  #silentAt: number | undefined;
  waitedMs = 0;
  /** Tells the site's process from another one under its name; '' before any has come. */
  life = '';

  constructor(session: Session, options: SiteLinkOptions) {
    this.#session = session;
    this.#options = options;
    this.#changes = new Changes(options.clock);
    this.#bornMs = options.clock.nowMs();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Whether the site is there, or went, or was first waited for, so lately that it may be about to connect. */
  get isNear(): boolean {
    return this.connected || this.#patienceLeftMs > 0;
  }

  /** Resolves when the site is there, or is no longer near. */
  async settled(): Promise<void> {
    while (!this.connected && this.isNear) {
      this.#stopped.signal.throwIfAborted();
      await this.#changes.nextWithin(this.#patienceLeftMs);
    }
  }

  get #patienceLeftMs(): number {
    return (this.#lostSince ?? this.#bornMs) + returnMs - this.#options.clock.nowMs();
  }

  /** Whoever waits for the site looks again whether it may wait on. */
  wake(): void {
    this.#changes.tell();
  }

  get position(): number {
    return this.#session.position;
  }

  /** Whether the site is through its script. */
  get hasEverything(): boolean {
    return this.#session.expected === undefined;
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
    this.#silentAt = undefined;
    this.#restarts += 1;
    this.#changes.tell();
  }

  /**
   * Serves a connection whose hello was accepted, until it ends. Never rejects: what goes wrong on it closes it, and is told.
   * `sign` adds to the welcome what proves that the server says it.
   * Throws ProtocolError at once when the site's position cannot be reconciled with this session.
   */
  async serve(
    connection: Connection,
    peerPosition: number,
    sign: (answer: Message) => Message = (answer) => answer,
  ): Promise<void> {
    const { onState, site, planHash } = this.#options;
    if (this.#farewell) throw this.#farewell;
    const again = this.#session.resendFrom(peerPosition);
    connection.boundInbound(undefined); // What a stranger may send is bounded.
    this.#connection = connection;
    this.#quietSince = this.#options.clock.nowMs();
    this.#greeting = this.#putAll(connection, [sign(welcome(planHash, this.#session.position)), ...again]);
    onState('connected', connection.remote, '');
    this.#changed();
    try {
      await Promise.all([this.#greeting, this.#read(connection)]);
      this.#release(connection, 'the site closed it');
      if (this.#session.expected) onState('lost', `site ${site}: ${this.#lostWhy}`, 'closed');
      else onState('left', `site ${site} has everything`, '');
      await connection.close();
    } catch (error) {
      this.#release(connection, messageOf(error));
      if (this.#farewell) {
        await refuse(connection, this.#farewell, this.#mayReturn, this.#options.clock);
      } else if (error instanceof ProtocolError) {
        onState('refused', `site ${site}: ${error.code}: ${error.message}`, error.code);
        await refuse(connection, error, 'again', this.#options.clock);
      } else {
        onState('lost', `site ${site}: ${messageOf(error)}`, codeOf(error));
        await connection.close();
      }
    }
  }

  /**
   * The next message of that kind from the site. Throws TimeoutError when the site stays away for `timeoutMs`, or with `mayLeave` as soon
   * as it is no longer near, or does not come at all within `joinTimeoutMs`, or when it is connected and silent for `silenceTimeoutMs`
   * twice; and the signal's reason.
   */
  async receive(kind: MessageKind, mayLeave = false): Promise<Received> {
    await this.#timed(() => this.#placeOf(kind) !== undefined, kind, mayLeave);
    const place = this.#placeOf(kind) as number;
    const received = this.#inbox[place] as Received;
    // It stays for whoever does expect it: after a restart the inbox is another session's.
    if (received.line.kind !== kind)
      throw new TypeError(`the trainer expects ${kind}, the script has ${received.line.kind}`);
    this.#inbox.splice(place, 1);
    this.#changes.tell();
    return received;
  }

  /** The oldest message that nobody has taken, if it is of that kind. */
  peek(kind: MessageKind): Message | undefined {
    const { line, message: oldest } = this.#inbox[0] ?? {};
    return line?.kind === kind ? oldest : undefined;
  }

  /** Takes it. */
  take(kind: MessageKind): Message | undefined {
    const oldest = this.peek(kind);
    if (!oldest) return undefined;
    this.#inbox.shift();
    this.#changes.tell();
    return oldest;
  }

  /** Where in the inbox the next message of that kind is: the first there, or among messages with a place the first of the kind. */
  #placeOf(kind: MessageKind): number | undefined {
    const place = this.#inbox.findIndex(({ line }) => line.kind === kind || line.place === undefined);
    return place < 0 ? undefined : place;
  }

  /** When the message `place` places behind the oldest that nobody has taken arrived, as a count over all sites; undefined when it has not. */
  arrivalOf(place: number): number | undefined {
    return this.#inbox[place]?.arrival;
  }

  /** Resolves when the site is connected. Throws as `receive` does. */
  awaitConnection(): Promise<void> {
    return this.#until(() => this.connected, 'connection');
  }

  /** Resolves when there are so many messages to take. Throws as `receive` does. */
  awaitMessages(count: number, what = 'next message'): Promise<void> {
    return this.#until(() => this.#inbox.length >= count, what);
  }

  /** Resolves when the site has acknowledged what it is to before the server's next line. Throws as `receive` does. */
  async acknowledged(mayLeave = false): Promise<void> {
    if (this.#session.awaitsAcknowledge)
      await this.#timed(() => !this.#session.awaitsAcknowledge, 'acknowledgement', mayLeave);
  }

  /**
   * Sends the script's next line, now or as soon as the site is connected again. Resolves when the transport took it or it waits for the
   * site. Where the site is to acknowledge first, waits for that, and throws as `receive` does. A site that reads nothing for
   * `timeoutMs` loses its connection.
   */
  async send(kind: MessageKind, values: Values = {}, mayLeave = false): Promise<void> {
    await this.acknowledged(mayLeave);
    const composed = this.#session.compose(kind, values);
    const connection = this.#connection;
    if (!connection) return;
    try {
      await this.#greeting;
      await this.#put(connection, composed);
    } catch (error) {
      this.#stopped.signal.throwIfAborted();
      if (!(error instanceof TransportError || error instanceof TimeoutError)) throw error;
      this.#release(connection, messageOf(error));
      await connection.close(); // `serve` sees the end; the session keeps the message for the next connection.
    }
  }

  /** Ends the site's part: every wait rejects with `reason`, and the site is told why and whether it may come again. A second call does nothing. */
  stop(reason: unknown, told: ProtocolError, mayReturn: Return): void {
    if (this.#farewell) return;
    this.#farewell = told;
    this.#mayReturn = mayReturn;
    this.#stopped.abort(reason);
    this.#changes.close();
  }

  /**
   * Waits until the site says that it has kept everything, or is gone: gives whether it has. One that is connected and does not say so may
   * not have heard all of it, and is made to connect again. Throws ProtocolError when it starts over instead.
   */
  async drain(): Promise<boolean> {
    const { clock } = this.#options;
    const restarts = this.#restarts;
    while (this.#session.expected) {
      this.#stopped.signal.throwIfAborted();
      const connection = this.#connection;
      if (!connection) return false;
      const leftMs = this.#quietSince + keepingMs - clock.nowMs();
      if (leftMs > 0) await this.#changes.nextWithin(leftMs);
      else this.#sendAway(connection, 'connected, but does not say that it has everything');
      this.#checkRestarts(restarts);
    }
    return true;
  }

  /** Resolves with whether the site is there: at once, or within `patienceMs()` of `sinceMs` or of when it was last there. */
  async returns(patienceMs: () => number, sinceMs: number): Promise<boolean> {
    const { clock } = this.#options;
    while (!this.#connection) {
      this.#stopped.signal.throwIfAborted();
      const leftMs = Math.max(sinceMs, this.#lostSince ?? sinceMs) + patienceMs() - clock.nowMs();
      if (leftMs <= 0) return false;
      await this.#changes.nextWithin(leftMs);
    }
    return true;
  }

  /** Replaces the session, whichever process the site has: it is told to begin anew. */
  beginAnew(session: Session): void {
    this.restart(session);
    this.life = '';
    const connection = this.#connection;
    if (connection) this.dismiss(connection, wentBack(this.#options.site), 'anew');
  }

  /** Lets a connection go: the site counts as lost from here on. */
  #release(connection: Connection, why: string): void {
    if (this.#connection !== connection) return;
    this.#bytesReceived += connection.bytesReceived;
    this.#bytesSent += connection.bytesSent;
    this.#connection = undefined;
    this.#lostSince = this.#options.clock.nowMs();
    this.#lostWhy = why;
    this.#changed();
  }

  #changed(): void {
    this.#changes.tell();
    this.#options.onChange();
  }

  async #putAll(connection: Connection, messages: readonly Message[]): Promise<void> {
    for (const sent of messages) await this.#put(connection, sent);
  }

  async #put(connection: Connection, sent: Message): Promise<void> {
    const { clock, timeoutMs, site } = this.#options;
    const { signal } = this.#stopped;
    const frame = encodeMessage(sent);
    signal.throwIfAborted();
    if (!connection.trySend(frame)) {
      await withDeadline(
        (ended) => connection.send(frame, ended),
        timeoutMs,
        `site ${site} reads nothing`,
        clock,
        signal,
      );
    }
    this.#quietSince = clock.nowMs();
  }

  async #read(connection: Connection): Promise<void> {
    const { inspect } = this.#options;
    const { signal } = this.#stopped;
    for (;;) {
      while (this.#inbox.length >= this.#options.inboxMost && this.#connection === connection) {
        signal.throwIfAborted();
        await this.#changes.next();
      }
      const frame = await connection.receive(signal);
      if (!frame) return;
      // What a connection that was let go still brings belongs to nobody: the site sends it again.
      if (this.#connection !== connection) return;
      const received = decodeMessage(frame);
      if (received.kind === 'refuse')
        throw new TransportError('refused', `the site closes: ${readRefusal(received).text}`);
      const line = this.#session.accept(received, inspect);
      this.#quietSince = this.#options.clock.nowMs();
      // An `acknowledge` is for the session only, which may forget what has arrived; the trainer never sees one.
      if (line.kind !== 'acknowledge') this.#inbox.push({ message: received, line, arrival: arrivals++ });
      this.#changed();
    }
  }

  /** Waits, and counts the time in which the study does. */
  async #timed(ready: () => boolean, what: string, mayLeave: boolean): Promise<void> {
    const { clock } = this.#options;
    const since = clock.nowMs();
    await this.#until(ready, what, mayLeave);
    if (this.#options.isAwaited()) this.waitedMs += clock.nowMs() - since;
  }

  async #until(ready: () => boolean, what: string, mayLeave = false): Promise<void> {
    const { clock, timeoutMs, joinTimeoutMs, site } = this.#options;
    const { signal } = this.#stopped;
    const restarts = this.#restarts;
    const since = clock.nowMs();
    for (;;) {
      this.#checkRestarts(restarts);
      if (ready()) return;
      signal.throwIfAborted();
      if (!mayLeave && !this.#options.isAwaited()) {
        await this.#changes.next();
        continue;
      }
      const connection = this.#connection;
      const stragglerMs = mayLeave ? undefined : this.#options.stragglerMs();
      if (stragglerMs !== undefined) {
        const leftMs = this.#owesSince(since) + stragglerMs - clock.nowMs();
        if (leftMs <= 0) throw this.#options.straggles(what);
        await this.#changes.nextWithin(leftMs);
        continue;
      }
      if (connection) {
        const silenceLeftMs = this.#silenceLeftMs(since);
        if (silenceLeftMs > 0) await this.#changes.nextWithin(silenceLeftMs);
        else this.#dropSilent(connection, what);
        continue;
      }
      const lostSince = this.#lostSince;
      if (lostSince === undefined) {
        if (joinTimeoutMs === undefined) await this.#changes.next();
        else await this.#awaitFirst(since + joinTimeoutMs);
        continue;
      }
      const [fromMs, patienceMs] = mayLeave
        ? [lostSince, Math.min(returnMs, timeoutMs)]
        : [Math.max(since, lostSince), timeoutMs];
      const leftMs = fromMs + patienceMs - clock.nowMs();
      if (leftMs <= 0) {
        throw new TimeoutError(
          `site ${site} is lost: no connection for ${Math.round(patienceMs / 1000)} s while the study waits for its ${what}${this.#lostWhy === '' ? '' : ` (its last one: ${this.#lostWhy})`}. ${this.#stops}`,
        );
      }
      await this.#changes.nextWithin(leftMs);
    }
  }

  /** Waits for a site that has never been there. Throws TimeoutError when it does not come by `endMs`. */
  async #awaitFirst(endMs: number): Promise<void> {
    const { clock, joinTimeoutMs = 0, site } = this.#options;
    const leftMs = endMs - clock.nowMs();
    if (leftMs <= 0)
      throw new TimeoutError(
        `site ${site} has not connected within ${Math.round(joinTimeoutMs / 1000)} s. ${this.#stops}`,
      );
    await this.#changes.nextWithin(leftMs);
  }

  /** What an end means for what was trained. */
  get #stops(): string {
    return this.#options.hasCommit()
      ? 'The study stops; what was trained so far is in the last commit'
      : 'The study stops before its first commit';
  }

  /**
   * How long a connected site may still be silent. Only such time counts as somebody waits for this site, since `since`, and as the site
   * owes the next line and has been sent all that comes before it. Waits for other sites and for the server's own work do not count.
   */
  #silenceLeftMs(since: number): number {
    const { clock, silenceTimeoutMs } = this.#options;
    return this.#owesSince(since) + silenceTimeoutMs - clock.nowMs();
  }

  /** From when on the site has owed what somebody has waited for since `since`: it is lost, or was told all that it needs. */
  #owesSince(since: number): number {
    if (!this.#connection) return Math.max(since, this.#lostSince ?? this.#bornMs);
    return this.#session.expected?.direction === 'up' ? Math.max(since, this.#quietSince) : this.#options.clock.nowMs();
  }

  /** A silent site loses its connection, and may come back. Throws TimeoutError when it did and is silent again. */
  #dropSilent(connection: Connection, what: string): void {
    const { site, silenceTimeoutMs } = this.#options;
    const silence = `connected, but silent for ${Math.round(silenceTimeoutMs / 1000)} s while the study waits for its ${what}`;
    if (this.#silentAt === this.#session.position) {
      throw new TimeoutError(`site ${site} is ${silence}, and not for the first time. ${this.#stops}`);
    }
    this.#silentAt = this.#session.position;
    this.#sendAway(connection, silence);
  }

  /** Ends the connection of a site that may come back at once. `serve` sees the end, and tells of it. */
  #sendAway(connection: Connection, why: string): void {
    this.#release(connection, why);
    this.dismiss(connection, new TimeoutError(`the site is ${why}`), 'again');
  }

  /** Ends a connection, from which nothing more is heard from here on, and tells the site why. */
  dismiss(connection: Connection, error: SeptumError, mayReturn: Return): void {
    this.#release(connection, error.message);
    void refuse(connection, error, mayReturn, this.#options.clock);
  }

  /** What was begun in another session is not to go on in this one. */
  #checkRestarts(before: number): void {
    if (this.#restarts !== before) throw new ProtocolError('out-of-order', `site ${this.#options.site} started over`);
  }
}
