// A connection that misbehaves by a seed, as networks and what stands in them do: for tests and fault runs. It is put around a good
// connection at one end and harms the frames of both directions. What it does to a frame is a function of the seed, the connection's place
// and the frame's number, but when a fault strikes depends on the run.
//
// It harms whole frames. Bytes that change in the middle of one are not its business: under TLS they cost the connection.

import { abortReason, type Clock, randomStream, type RandomStream, TransportError } from '../base/index.ts';
import { frameBytes, joinFrame } from './frame.ts';
import { Inbox } from './inbox.ts';
import { throughConnection } from './through.ts';
import type { Connection } from './transport.ts';

/**
 * drop: this frame and all after it are lost, in this direction, and neither end is told: the connection is half open.
 * delay, stall: nothing passes for a while, short or long. duplicate: it arrives twice. reorder: it arrives after the next one.
 * truncate: its end is missing. corrupt: its beginning is wrong. disconnect: the connection ends instead.
 */
export const faultKinds = [
  'drop',
  'delay',
  'duplicate',
  'reorder',
  'truncate',
  'corrupt',
  'stall',
  'disconnect',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface FaultyOptions {
  readonly seed: number;
  /** Tells the connections of one seed apart, such as [site, connection of the site]. */
  readonly place: readonly number[];
  /** The share of frames that meets each fault, from 0 to 1; together at most 1. */
  readonly shares: Readonly<Partial<Record<FaultKind, number>>>;
  readonly clock: Clock;
  /** Frames of each direction that pass unharmed at first, so that a session that goes on gets on. Default 4. */
  readonly graceFrames?: number;
  /** The longest delay. Default 50 ms. */
  readonly delayMsMost?: number;
  /** How long a stall lasts. Default 2000 ms. */
  readonly stallMs?: number;
  /** Bandwidth of each direction; default unbounded. */
  readonly bytesPerSecond?: number;
  readonly onFault?: (kind: FaultKind) => void;
}

/** The connection over a bad network. */
export function faultyConnection(connection: Connection, options: FaultyOptions): Connection {
  const outbound = new FaultyDirection('out', connection, options);
  const inbound = new FaultyDirection('in', connection, options);
  let last: Promise<void> = Promise.resolve();
  const pass = async (frames: readonly Uint8Array<ArrayBuffer>[], signal?: AbortSignal): Promise<void> => {
    for (const frame of frames) await connection.send([frame], signal);
  };
  const late = (held: Uint8Array<ArrayBuffer>): void => void pass([held]).catch(() => undefined);
  const arrived = arrivals(connection, inbound);
  return throughConnection(connection, {
    send: (parts, signal) => {
      if (signal?.aborted) return Promise.reject(abortReason(signal));
      const frame = joinFrame(parts, frameBytes(parts, Number.MAX_SAFE_INTEGER));
      const sent = last.then(async () => pass(await outbound.harm(frame, late), signal));
      last = sent.catch(() => undefined);
      return sent;
    },
    receive: (signal) => arrived.take(signal),
  });
}

/** Frames that may have arrived and not be taken; more stay in the connection. */
const arrivedMost = 16;

/** What arrives of what the connection brings. */
function arrivals(connection: Connection, direction: FaultyDirection): Inbox<Uint8Array<ArrayBuffer>> {
  let taken: () => void = () => undefined;
  const inbox = new Inbox<Uint8Array<ArrayBuffer>>(() => taken());
  const bring = async (): Promise<void> => {
    for (;;) {
      while (inbox.count >= arrivedMost) await new Promise<void>((resolve) => (taken = resolve));
      const frame = await connection.receive();
      if (!frame) return;
      for (const whole of await direction.harm(frame, (held) => inbox.put(held))) inbox.put(whole);
    }
  };
  bring().then(
    () => inbox.end(),
    (error: unknown) =>
      inbox.end(error instanceof TransportError ? error : new TransportError('closed', String(error))),
  );
  return inbox;
}

class FaultyDirection {
  readonly #connection: Connection;
  readonly #options: FaultyOptions;
  readonly #stream: RandomStream;
  #frames = 0;
  /** Everything is lost from here on. */
  #isLost = false;
  /** A frame that waits for the next to overtake it. */
  #held: { readonly frame: Uint8Array<ArrayBuffer>; readonly cancel: () => void } | undefined;

  constructor(direction: 'in' | 'out', connection: Connection, options: FaultyOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#stream = randomStream(options.seed, `faulty ${direction}`, options.place);
  }

  /** What arrives of a frame, and when. A frame that is held back and overtaken by none goes to `late`. Rejects where the connection ends. */
  async harm(
    frame: Uint8Array<ArrayBuffer>,
    late: (held: Uint8Array<ArrayBuffer>) => void,
  ): Promise<readonly Uint8Array<ArrayBuffer>[]> {
    const { clock, bytesPerSecond, delayMsMost = 50, stallMs = 2000 } = this.#options;
    if (this.#isLost) return [];
    const number = this.#frames++;
    if (bytesPerSecond !== undefined) await clock.sleep((1000 * frame.byteLength) / bytesPerSecond);
    const kind = this.#kindOf(number);
    if (kind) this.#options.onFault?.(kind);
    const before = this.#takeHeld();
    switch (kind) {
      case 'drop':
        this.#isLost = true;
        return [];
      case 'delay':
        await clock.sleep(delayMsMost * this.#draw(number, 1));
        break;
      case 'stall':
        await clock.sleep(stallMs);
        break;
      case 'duplicate':
        return [frame, frame.slice(), ...before];
      case 'truncate':
        return [frame.slice(0, Math.floor(frame.byteLength * this.#draw(number, 1))), ...before];
      case 'corrupt':
        return [corrupted(frame, this.#draw(number, 1)), ...before];
      case 'reorder': {
        const cancel = clock.setTimer(delayMsMost, () => this.#takeHeld().forEach(late));
        this.#held = { frame, cancel };
        return before;
      }
      case 'disconnect':
        await this.#connection.close('cut by a fault');
        throw new TransportError('closed', 'the connection was cut by a fault');
      case undefined:
    }
    return [frame, ...before];
  }

  #takeHeld(): Uint8Array<ArrayBuffer>[] {
    const held = this.#held;
    this.#held = undefined;
    held?.cancel();
    return held ? [held.frame] : [];
  }

  #kindOf(number: number): FaultKind | undefined {
    const { shares, graceFrames = 4 } = this.#options;
    if (number < graceFrames) return undefined;
    let left = this.#draw(number, 0);
    for (const kind of faultKinds) {
      left -= shares[kind] ?? 0;
      if (left < 0) return kind;
    }
    return undefined;
  }

  #draw(number: number, what: 0 | 1): number {
    return this.#stream.uniform(what, number);
  }
}

/** The frame with one of its first bytes changed: what every receiver looks at first. */
function corrupted(frame: Uint8Array<ArrayBuffer>, draw: number): Uint8Array<ArrayBuffer> {
  const wrong = frame.slice();
  const at = Math.floor(draw * Math.min(4, wrong.length));
  if (wrong.length > 0) wrong[at] = (wrong[at] ?? 0) ^ 0xff;
  return wrong;
}
