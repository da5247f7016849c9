// Someone between honest sites and an honest server, over real WebSockets. It passes frames on, and where the injector says so it sends
// a bad one first: the receiver must refuse it by a typed word and close that connection, and the site comes back.

import { TransportError } from '../../src/base/index.ts';
import { decodeMessage, type Message, type MessageKind } from '../../src/protocol/index.ts';
import type { Connection, Listener } from '../../src/transport/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import type { Field } from './mutations.ts';

/** A bad frame in place of an honest one. */
export interface Injection {
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly kind: MessageKind;
  /** `bytes` for a frame that is no message. */
  readonly field: Field | 'bytes';
  readonly direction: 'up' | 'down';
  readonly pastDecoder: boolean;
}

/** Decides what goes out in place of honest frames, and keeps the books. */
export interface Attacker {
  readonly injected: number;
  /** A bad frame to send in place of this honest one, or undefined to let it pass. `without` names fields that nothing would be wrong with at the moment. */
  choose(direction: 'up' | 'down', honest: Message, without?: readonly Field[]): Injection | undefined;
  /** Books what became of an injection; `code` is that of the peer's refusal, or `none` when it closed without a word. */
  refused(injection: Injection, code: string): void;
  /** Takes an injection back that could not be sent. */
  withdrawn(injection: Injection): void;
}

/** Bad frames for one site in a row without an honest message getting through; a site gives up after 20 failures. */
const rowMost = 10;

interface Relay {
  readonly site: string;
  readonly down: Connection;
  readonly up: Connection;
  /** The bad frame that awaits its refusal. */
  pending: Injection | undefined;
  /** Honest frames that its receiver had sent before it read the bad one. */
  inFlight: number;
  /** A bad frame was answered: nobody reads what comes after. */
  over: boolean;
}

export class HostileProxy {
  readonly #connect: () => Promise<Connection>;
  readonly #injector: Attacker;
  readonly #inFlightMost: number;
  readonly #listener: Listener;
  /** Injections for a site since an honest message got through to it, and the last of those that were sent to it. */
  readonly #rows = new Map<string, { count: number; sent: number | undefined }>();
  /** The end of the connection that a site had last. */
  readonly #last = new Map<string, Promise<void>>();
  readonly #serving = new Set<Promise<void>>();
  /** What went wrong in the proxy itself. */
  readonly problems: unknown[] = [];

  private constructor(
    listener: Listener,
    connect: () => Promise<Connection>,
    attacker: Attacker,
    inFlightMost: number,
  ) {
    this.#listener = listener;
    this.#connect = connect;
    this.#injector = attacker;
    this.#inFlightMost = inFlightMost;
  }

  /**
   * Between the sites that connect to `listener` and the server that `connect` leads to. With a window, up to `inFlightMost` messages are
   * under way to the other side when a bad frame is read; without one its refusal is what comes next.
   */
  static between(
    listener: Listener,
    connect: () => Promise<Connection>,
    attacker: Attacker,
    inFlightMost = 0,
  ): HostileProxy {
    const proxy = new HostileProxy(listener, connect, attacker, inFlightMost);
    void proxy.#accept();
    return proxy;
  }

  static async open(serverUrl: string, attacker: Attacker): Promise<HostileProxy> {
    const listener = await listenWebSocket({ attemptsPerAddressMax: 1e6 });
    return HostileProxy.between(listener, () => connectWebSocket(serverUrl), attacker);
  }

  get url(): string {
    return this.#listener.address;
  }

  async close(): Promise<void> {
    await this.#listener.close();
    await Promise.all(this.#serving);
  }

  async #accept(): Promise<void> {
    for (let down = await this.#listener.accept(); down; down = await this.#listener.accept()) {
      const serving: Promise<void> = this.#serve(down)
        .catch((error: unknown) => void this.problems.push(error))
        .finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    }
  }

  async #serve(down: Connection): Promise<void> {
    const frame = await down.receive();
    if (!frame) return;
    const hello = decodeMessage(frame);
    gotOn(this.#row(hello.site), hello);
    const before = this.#last.get(hello.site);
    let ended: () => void = () => undefined;
    this.#last.set(hello.site, new Promise((resolve) => (ended = resolve)));
    await before;
    let up: Connection | undefined;
    try {
      for (let tries = 0; tries < rowMost; tries++) {
        const bad = this.#injector.choose('up', hello);
        if (!bad) break;
        await this.#knock(bad);
      }
      up = await this.#connect();
      await up.send([frame]);
      await this.#relay({ site: hello.site, down, up, pending: undefined, inFlight: 0, over: false }, hello);
    } finally {
      await up?.close();
      await down.close();
      ended();
    }
  }

  /** Sends a bad frame as the first on a connection of its own. */
  async #knock(bad: Injection): Promise<void> {
    const connection = await this.#connect();
    await connection.send([bad.frame]);
    this.#injector.refused(bad, codeOfRefusal(await connection.receive()));
    await connection.close();
  }

  /** Passes frames both ways until either end closes, or a bad frame is refused. */
  async #relay(relay: Relay, hello: Message): Promise<void> {
    const { up, down } = relay;
    const downward = this.#passOn(relay, 'down', up, down, hello).then(() => down.close());
    const upward = this.#passOn(relay, 'up', down, up, hello).then(() => up.close());
    await Promise.all([downward, upward]);
  }

  async #passOn(relay: Relay, direction: 'up' | 'down', from: Connection, to: Connection, hello: Message) {
    for (;;) {
      const frame = await from.receive().catch(() => undefined);
      const { pending } = relay;
      if (pending && pending.direction !== direction) {
        if (frame && relay.inFlight < this.#inFlightMost && decodeMessage(frame).kind !== 'refuse') {
          relay.inFlight += 1;
          await to.send([frame]).catch(() => undefined);
          continue;
        }
        // The peer that got the bad frame answers, and that ends the connection. Its word goes to the other, or is lost with it.
        relay.pending = undefined;
        relay.over = true;
        this.#injector.refused(pending, codeOfRefusal(frame));
        if (frame && this.#injector.injected % 2 === 0) await to.send([frame]).catch(() => undefined);
        return;
      }
      if (!frame || relay.over) return;
      if (pending) continue; // What comes after a bad frame is lost with the connection.
      const honest = decodeMessage(frame);
      const bad = this.#choose(relay.site, direction, honest, hello);
      if (bad) {
        relay.pending = bad;
        relay.inFlight = 0;
        if (await sent(to, bad.frame)) continue;
        // The peer had gone before it could be attacked.
        relay.pending = undefined;
        this.#injector.withdrawn(bad);
        return;
      }
      await to.send([frame]).catch(() => undefined);
      if (direction === 'down' && honest.kind !== 'welcome' && honest.kind !== 'refuse')
        this.#row(relay.site).sent = honest.sequence;
    }
  }

  #row(site: string): { count: number; sent: number | undefined } {
    const row = this.#rows.get(site) ?? { count: 0, sent: undefined };
    this.#rows.set(site, row);
    return row;
  }

  #choose(site: string, direction: 'up' | 'down', honest: Message, hello: Message): Injection | undefined {
    const row = this.#row(site);
    if (direction === 'up') gotOn(row, honest);
    // The site's last word has no answer, so a site does not come back to say it again.
    const isLast = honest.kind === 'acknowledge' && direction === 'up';
    if (row.count >= rowMost || isLast || honest.kind === 'refuse') return undefined;
    // Before a site knows the pool it cannot know how far the server may be; and a server that starts with another plan is one that the
    // site gives up at once.
    const without: readonly Field[] = honest.kind === 'welcome' && hello.sequence < 2 ? ['sequence', 'plan'] : [];
    const bad = this.#injector.choose(direction, honest, without);
    if (bad) row.count += 1;
    return bad;
  }
}

/** A site that stands after what it was sent has taken it: what reaches its connection may still be lost with that. */
function gotOn(row: { count: number; sent: number | undefined }, { sequence }: Message): void {
  if (row.sent === undefined || sequence <= row.sent) return;
  row.count = 0;
  row.sent = undefined;
}

/** Sends a frame; false when the connection had ended. */
async function sent(connection: Connection, frame: Uint8Array<ArrayBuffer>): Promise<boolean> {
  try {
    await connection.send([frame]);
    return true;
  } catch (error) {
    if (error instanceof TransportError) return false;
    throw error;
  }
}

/** The code in a refusal; `none` where there is no refusal. */
function codeOfRefusal(frame: Uint8Array<ArrayBuffer> | undefined): string {
  if (!frame) return 'none';
  const answer = decodeMessage(frame);
  return answer.kind === 'refuse' ? (/^[a-z-]+/.exec(answer.text)?.[0] ?? 'none') : `none, but ${answer.kind}`;
}
