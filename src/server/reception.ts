// Where sites come in, for all studies of a server: a connection proves who speaks (gate.ts) or is enrolled, says hello, and is passed on
// to the study whose plan it says. What it does there is that study's business (admission.ts). Each connection is served on its own; one
// that misbehaves costs itself only.

import {
  type Clock,
  codeOf,
  messageOf,
  ProtocolError,
  SeptumError,
  TransportError,
  withDeadline,
} from '../base/index.ts';
import { checkHello, decodeMessage, encodeMessage, type Message, readRefusal } from '../protocol/index.ts';
import type { Connection, Listener } from '../transport/index.ts';
import { anotherPlan, type Entrance, type Gate, toldOf } from './gate.ts';
import { refuse, returnOf } from './refuse.ts';

/** What a peer may send before its hello is accepted: many times a hello, and little even from as many peers as may be connected. */
const strangerBytesMax = 4096;
/** A connection that has not said hello by then is closed. */
const helloTimeoutMs = 10_000;

export interface ReceptionOptions {
  readonly listener: Listener;
  /** Who may come in; without it, whoever says a site's name. */
  readonly gate?: Gate | undefined;
  readonly clock: Clock;
  /** Told of a peer that was refused, and that belongs to no study as far as is known. */
  readonly onRefused: (remote: string, reason: string, code: string) => void;
}

/** A study as the reception knows it. */
export interface StudyAtReception {
  readonly study: string;
  readonly planHash: string;
  readonly sites: readonly string[];
}

/** A connection whose hello is one of a study's sites', with the key that it was proved with. */
export interface Caller {
  readonly connection: Connection;
  readonly hello: Message;
  readonly key: string;
  /** Adds to an answer what proves that the server says it. */
  readonly sign: (answer: Message) => Message;
  readonly gate: Gate | undefined;
}

/** A study that receives its sites. */
export interface Desk extends StudyAtReception {
  /** Serves a caller until its connection ends. Throws what it is refused for. */
  readonly serve: (caller: Caller) => Promise<void>;
  /** Told of a site that has become one by an invite. */
  readonly onEnrolled: (remote: string, site: string) => void;
  /** Told of a site that has withdrawn. */
  readonly onWithdrawn: (site: string) => void;
  readonly onRefused: ReceptionOptions['onRefused'];
}

interface Place extends StudyAtReception {
  /** Undefined before the study receives its sites, and once it is over. */
  desk: Desk | undefined;
  isOver: boolean;
  readonly served: Set<Promise<void>>;
}

export class Reception {
  readonly #options: ReceptionOptions;
  /** By plan. */
  readonly #places = new Map<string, Place>();
  readonly #strangers = new Set<Connection>();

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  /** Says that a study is about to open its desk, or is over: its sites are told so. */
  announce({ study, planHash, sites }: StudyAtReception, isOver = false): void {
    this.#places.set(planHash, { study, planHash, sites, desk: undefined, isOver, served: new Set() });
  }

  /** Opens a study's desk. The function that it gives closes it, and resolves when all that it has served are gone. */
  open(desk: Desk): () => Promise<void> {
    const place: Place = { ...desk, desk, isOver: false, served: new Set() };
    this.#places.set(desk.planHash, place);
    return async () => {
      place.desk = undefined;
      place.isOver = true;
      await Promise.all(place.served);
    };
  }

  /** Accepts connections until the listener closes or the signal aborts, and resolves when all that it accepted are gone. */
  async run(signal: AbortSignal): Promise<void> {
    const { listener, gate, clock, onRefused } = this.#options;
    const served = new Set<Promise<void>>();
    const watching = gate?.watch(clock, signal);
    try {
      for (;;) {
        const connection = await listener.accept(signal);
        if (!connection) return;
        connection.boundInbound(strangerBytesMax);
        this.#strangers.add(connection);
        const serving = this.#receive(connection)
          .catch((error: unknown) => onRefused(connection.remote, messageOf(error), codeOf(error)))
          .finally(() => served.delete(serving));
        served.add(serving);
      }
    } finally {
      await Promise.all([...this.#strangers].map((connection) => connection.close('the study is over')));
      await Promise.all(served);
      await watching;
    }
  }

  async #receive(connection: Connection): Promise<void> {
    const { gate, clock } = this.#options;
    let { onRefused } = this.#options;
    try {
      const entrance = gate?.meet(connection);
      const received = await this.#firstWord(connection, entrance);
      if (entrance && (received.kind === 'enrol' || received.kind === 'withdraw'))
        return await this.#answer(connection, entrance, received);
      const { said: hello, key } = entrance?.take(received) ?? { said: received, key: '' };
      const place = this.#placeOf(hello, key);
      if (place.desk) ({ onRefused } = place.desk);
      const sign = (answer: Message): Message => entrance?.sign(answer) ?? answer;
      await this.#serveAt(place, { connection, hello, key, sign, gate });
    } catch (error) {
      onRefused(connection.remote, messageOf(error), codeOf(error));
      const told =
        error instanceof SeptumError ? toldOf(error) : new ProtocolError('bad-frame', 'hello could not be read');
      await refuse(connection, told, returnOf(told), clock);
    }
  }

  /** What a peer says first. */
  async #firstWord(connection: Connection, entrance: Entrance | undefined): Promise<Message> {
    const frame = await withDeadline(
      async (signal) => {
        if (entrance) await connection.send(encodeMessage(entrance.challenge), signal);
        return connection.receive(signal);
      },
      helloTimeoutMs,
      'waiting for hello',
      this.#options.clock,
    ).finally(() => this.#strangers.delete(connection));
    if (!frame) throw new TransportError('closed', 'the peer closed the connection before it said hello');
    const received = decodeMessage(frame);
    if (received.kind === 'refuse')
      throw new TransportError('refused', `the peer closes: ${readRefusal(received).text}`);
    return received;
  }

  /** Answers a peer that wants nothing but to be enrolled, or to be no site any more, and closes. */
  async #answer(connection: Connection, entrance: Entrance, received: Message): Promise<void> {
    const placeOf = (study: string) => [...this.#places.values()].find((place) => place.study === study);
    if (received.kind === 'enrol') {
      const serves = (study: string): boolean => placeOf(study)?.isOver === false;
      const { answer, study, site } = entrance.enrol(received, serves);
      placeOf(study)?.desk?.onEnrolled(connection.remote, site);
      await connection.send(encodeMessage(answer));
    } else {
      const { answer, study, site } = entrance.withdraw(received);
      placeOf(study)?.desk?.onWithdrawn(site);
      await connection.send(encodeMessage(answer));
    }
    await connection.close();
  }

  /** The study of the plan that a site says. Throws ProtocolError when that is not the site's. */
  #placeOf(hello: Message, key: string): Place {
    const { gate } = this.#options;
    const place = this.#places.get(hello.plan);
    gate?.requireIn(place?.study, hello.site, key);
    checkHello(hello);
    const sites = place ? place.sites : [...this.#places.values()].flatMap((one) => one.sites);
    if (!sites.includes(hello.site))
      throw new ProtocolError('unknown-site', `the study has no site ${JSON.stringify(hello.site.slice(0, 64))}`);
    if (!place) throw anotherPlan(hello.site);
    return place;
  }

  async #serveAt(place: Place, caller: Caller): Promise<void> {
    if (place.isOver) throw new ProtocolError('study-stopped', 'the study is over');
    if (!place.desk) throw new ProtocolError('going-back', 'the study is about to begin: come again');
    const serving = place.desk.serve(caller);
    // Whoever closes the desk waits for the end of it, whatever that is.
    const gone = serving.then(
      () => undefined,
      () => undefined,
    );
    place.served.add(gone);
    try {
      await serving;
    } finally {
      place.served.delete(gone);
    }
  }
}
