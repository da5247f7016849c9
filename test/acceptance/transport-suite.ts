// What every transport must do. Each is run through this suite by transport.test.ts.

import { describe, expect, test } from 'vitest';
import { TransportError } from '../../src/base/index.ts';
import type { Connection, Listener, TransportLimits } from '../../src/transport/index.ts';

export interface TransportUnderTest {
  listen(
    options: Partial<TransportLimits> & { readonly connectionsMax?: number },
  ): Promise<{ readonly listener: Listener; readonly connect: () => Promise<Connection> }>;
}

interface Ends extends AsyncDisposable {
  readonly near: Connection;
  readonly far: Connection;
}

const kib = 1024;

export function transportSuite(name: string, transport: TransportUnderTest): void {
  async function connectEnds(limits: Partial<TransportLimits> = {}): Promise<Ends> {
    const { listener, connect } = await transport.listen(limits);
    const near = await connect();
    const far = (await listener.accept())!;
    const dispose = async (): Promise<void> => {
      await Promise.all([near.close(), far.close(), listener.close()]);
    };
    return { near, far, [Symbol.asyncDispose]: dispose };
  }

  describe(`${name} transport`, () => {
    test('frames of both directions arrive whole, in order, once', async () => {
      await using ends = await connectEnds();
      for (const [from, to] of [
        [ends.near, ends.far],
        [ends.far, ends.near],
      ] as const) {
        const sent = Array.from({ length: 300 }, (_, index) => filled((index * 37) % 5000, index));
        const sending = Promise.all(sent.map((frame) => from.send([frame])));
        for (const frame of sent) expectBytes(await to.receive(), frame);
        await sending;
      }
    });

    test('a bound on what a peer may send holds for all its frames together, until it is lifted', async () => {
      await using ends = await connectEnds();
      ends.far.boundInbound(4 * kib);
      await ends.near.send([filled(2 * kib, 1)]);
      expectBytes(await ends.far.receive(), filled(2 * kib, 1));
      ends.far.boundInbound(undefined);
      await ends.near.send([filled(100 * kib, 2)]);
      expectBytes(await ends.far.receive(), filled(100 * kib, 2));
      ends.far.boundInbound(4 * kib);
      await Promise.all([ends.near.send([filled(3 * kib, 3)]), ends.near.send([filled(3 * kib, 4)])]);
      await expectTransportError(
        (async () => {
          while (await ends.far.receive());
        })(),
        'too-large',
      );
      // What else it sends is thrown away; this end can say why, and closes.
      for (let frames = 0; frames < 20; frames++) await ends.near.send([filled(100 * kib, 5)]);
      await ends.far.send([filled(10, 6)]);
      expectBytes(await ends.near.receive(), filled(10, 6));
      await ends.far.close();
      await expectTransportError(
        (async () => {
          for (;;) await ends.near.send([filled(kib, 5)]);
        })(),
        'closed',
      );
    });

    test('a frame of several parts arrives as one, aligned to 64 bytes, whatever its size', async () => {
      const frameBytesMax = 3_000_000;
      await using ends = await connectEnds({ frameBytesMax });
      const sizes = [0, 1, 2, 63, 64, 65, 125, 126, 127, 4096, 65_535, 65_536, 70_001, 1_000_003, frameBytesMax];
      for (const size of sizes) {
        const whole = filled(size, size);
        const cut = Math.floor(size / 3);
        const parts = [
          whole.subarray(0, cut),
          new Uint8Array(0),
          whole.subarray(cut, 2 * cut),
          whole.subarray(2 * cut),
        ];
        const [received] = await Promise.all([ends.far.receive(), ends.near.send(parts)]);
        expect(received!.byteOffset % 64).toBe(0);
        expectBytes(received, whole);
      }
      await ends.near.send([]);
      expect(await ends.far.receive()).toEqual(new Uint8Array(0));
    });

    test('what is received belongs to the receiver: neither end sees the other change its bytes', async () => {
      await using ends = await connectEnds();
      const shared = filled(100_000, 1);
      await ends.near.send([shared]);
      await ends.near.send([shared]);
      const first = (await ends.far.receive())!;
      first.fill(9);
      structuredClone(first.buffer, { transfer: [first.buffer] });
      expectBytes(await ends.far.receive(), filled(100_000, 1));
      expectBytes(shared, filled(100_000, 1));
    });

    test('a frame above the limit is refused to its sender, and the connection lives on', async () => {
      await using ends = await connectEnds({ frameBytesMax: 1000 });
      await expectTransportError(ends.near.send([new Uint8Array(600), new Uint8Array(401)]), 'too-large');
      await ends.near.send([filled(1000, 3)]);
      expect(await ends.far.receive()).toEqual(filled(1000, 3));
    });

    test('bytes are counted at both ends', async () => {
      await using ends = await connectEnds();
      await ends.near.send([new Uint8Array(100), new Uint8Array(28)]);
      await ends.near.send([new Uint8Array(70_000)]);
      await ends.far.receive();
      await ends.far.receive();
      expect(ends.near.bytesSent).toBe(70_128);
      expect(ends.far.bytesReceived).toBe(70_128);
      expect(ends.far.bytesSent + ends.near.bytesReceived).toBe(0);
    });

    test('a sender whose receiver does not read is held up, and goes on when it reads', async () => {
      await using ends = await connectEnds({ backlogBytesMax: 256 * kib, backlogFramesMax: 16 });
      const accepted = await sendUntilHeldUp(ends.near, 64 * kib, 4000);
      expect(accepted.held).toBe(true);
      expect(ends.far.bytesReceived).toBeLessThanOrEqual(256 * kib + 2 * 64 * kib);
      // Beside both backlogs, the system's own buffers for a loopback socket hold a few MiB.
      expect(ends.near.bytesSent).toBeLessThan(32 * 1024 * kib);
      for (let index = 0; index < accepted.frames; index += 1) {
        expect((await ends.far.receive())![0]).toBe(index % 256);
      }
      await accepted.last;
      expect((await ends.far.receive())![0]).toBe(accepted.frames % 256);
    });

    test('what need not wait is sent at once; what would have to is not sent', async () => {
      await using ends = await connectEnds({
        backlogBytesMax: 256 * kib,
        backlogFramesMax: 16,
        frameBytesMax: 64 * kib,
      });
      let sent = 0;
      while (sent < 4000 && ends.near.trySend([new Uint8Array(64 * kib).fill(sent)])) sent += 1;
      expect(sent).toBeGreaterThan(0);
      expect(sent).toBeLessThan(4000);
      expect(() => ends.near.trySend([new Uint8Array(64 * kib + 1)])).toThrow(TransportError);
      const waiting = ends.near.send([new Uint8Array(64 * kib).fill(sent)]);
      expect(ends.near.trySend([])).toBe(false);
      for (let index = 0; index <= sent; index += 1) expect((await ends.far.receive())![0]).toBe(index % 256);
      await waiting;
      expect(ends.near.trySend([filled(3, 7)])).toBe(true);
      expectBytes(await ends.far.receive(), filled(3, 7));
      await ends.near.close();
      expect(() => ends.near.trySend([new Uint8Array(1)])).toThrow(expect.objectContaining({ code: 'closed' }));
    });

    test('a signal ends the receive that it was given to, and no later one', async () => {
      await using ends = await connectEnds();
      const [early, late] = [new AbortController(), new AbortController()];
      await ends.near.send([filled(10, 1)]);
      expectBytes(await ends.far.receive(early.signal), filled(10, 1));
      const first = ends.far.receive(early.signal);
      await ends.near.send([filled(10, 2)]);
      expectBytes(await first, filled(10, 2));
      const unsignalled = ends.far.receive();
      early.abort(new Error('early'));
      await ends.near.send([filled(10, 3)]);
      expectBytes(await unsignalled, filled(10, 3));
      const last = ends.far.receive(late.signal);
      late.abort(new Error('late'));
      await expect(last).rejects.toThrow('late');
    });

    test('small frames are bounded by their number', async () => {
      await using ends = await connectEnds({ backlogFramesMax: 8, backlogBytesMax: 1000 * kib });
      // The kernel's buffers take a few hundred KiB of frames that the receiver has not seen.
      const accepted = await sendUntilHeldUp(ends.near, 8 * kib, 20_000);
      expect(accepted.held).toBe(true);
      for (let index = 0; index <= accepted.frames; index += 1) {
        expect((await ends.far.receive())![0]).toBe(index % 256);
      }
      await accepted.last;
    });

    test('more sends than may wait are refused', async () => {
      await using ends = await connectEnds({ backlogFramesMax: 4, backlogBytesMax: 64 * kib });
      const accepted = await sendUntilHeldUp(ends.near, 64 * kib, 4000);
      expect(accepted.held).toBe(true);
      const waiting = Array.from({ length: 3 }, () =>
        ends.near.send([new Uint8Array(64 * kib)]).catch(() => 'rejected'),
      );
      await expectTransportError(ends.near.send([new Uint8Array(64 * kib)]), 'refused');
      await ends.near.close();
      expect(await Promise.all(waiting)).toEqual(['rejected', 'rejected', 'rejected']);
      await accepted.last.catch(() => {});
    });

    test('a send that waits is taken back by its signal, and the others keep their order', async () => {
      await using ends = await connectEnds({ backlogBytesMax: 64 * kib, backlogFramesMax: 8 });
      const accepted = await sendUntilHeldUp(ends.near, 64 * kib, 4000);
      const aborting = new AbortController();
      const taken = ends.near.send([new Uint8Array(64 * kib).fill(255)], aborting.signal);
      const kept = ends.near.send([new Uint8Array([42])]);
      aborting.abort(new Error('changed my mind'));
      await expect(taken).rejects.toThrow('changed my mind');
      for (let index = 0; index <= accepted.frames; index += 1) await ends.far.receive();
      expect(await ends.far.receive()).toEqual(new Uint8Array([42]));
      await Promise.all([accepted.last, kept]);
    });

    test('a receive that is aborted loses no frame', async () => {
      await using ends = await connectEnds();
      const aborting = new AbortController();
      const receiving = ends.far.receive(aborting.signal);
      aborting.abort(new Error('too slow'));
      await expect(receiving).rejects.toThrow('too slow');
      await expect(ends.far.receive(AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
      await expect(ends.near.send([new Uint8Array(1)], AbortSignal.abort(new Error('early')))).rejects.toThrow('early');
      await ends.near.send([new Uint8Array([7])]);
      expect(await ends.far.receive()).toEqual(new Uint8Array([7]));
    });

    test('after a close the peer gets what was accepted before it, then undefined', async () => {
      for (const closer of ['near', 'far'] as const) {
        await using ends = await connectEnds();
        const other = closer === 'near' ? 'far' : 'near';
        for (let index = 0; index < 20; index += 1) await ends[closer].send([filled(10_000, index)]);
        const closing = ends[closer].close('done');
        for (let index = 0; index < 20; index += 1) expectBytes(await ends[other].receive(), filled(10_000, index));
        expect(await ends[other].receive()).toBeUndefined();
        expect(await ends[other].receive()).toBeUndefined();
        await closing;
        expect(await ends[closer].receive()).toBeUndefined();
        await expectTransportError(ends[closer].send([new Uint8Array(1)]), 'closed');
        await expectTransportError(ends[other].send([new Uint8Array(1)]), 'closed');
      }
    });

    test('a close ends a receive and a send that wait at either end', async () => {
      await using ends = await connectEnds({ backlogBytesMax: 64 * kib });
      const accepted = await sendUntilHeldUp(ends.near, 64 * kib, 4000);
      const receiving = ends.near.receive();
      const refused = expectTransportError(accepted.last, 'closed');
      await Promise.all([ends.far.close(), ends.far.close('twice')]);
      expect(await receiving).toBeUndefined();
      await refused;
      await ends.near.close();
    });

    test('both ends may close at once', async () => {
      await using ends = await connectEnds();
      await ends.near.send([new Uint8Array(10)]);
      await Promise.all([ends.near.close('a'), ends.far.close('b')]);
      expect(await ends.near.receive()).toBeUndefined();
      expect(await ends.far.receive()).toBeUndefined();
    });

    test('no more connections than the listener allows; a place is free again after a close', async () => {
      const { listener, connect } = await transport.listen({ connectionsMax: 2 });
      const first = await connect();
      const second = await connect();
      await expectTransportError(connect(), 'refused');
      const accepted = (await listener.accept())!;
      await Promise.all([first.close(), accepted.close()]);
      const third = await connect();
      await second.close();
      await third.close();
      await listener.close();
    });

    test('many connections work at once, each with its own frames', async () => {
      const { listener, connect } = await transport.listen({ connectionsMax: 100 });
      const echoing = (async () => {
        const all: Promise<void>[] = [];
        for (let index = 0; index < 100; index += 1) {
          const connection = (await listener.accept())!;
          all.push(
            (async () => {
              for (let frame = await connection.receive(); frame; frame = await connection.receive())
                await connection.send([frame]);
            })(),
          );
        }
        await Promise.all(all);
      })();
      const ids = new Set<string>();
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const connection = await connect();
          ids.add(connection.id);
          for (let round = 0; round < 10; round += 1) {
            const frame = filled(1000 + index, index + round);
            await connection.send([frame]);
            expectBytes(await connection.receive(), frame);
          }
          await connection.close();
        }),
      );
      await echoing;
      expect(ids.size).toBe(100);
      await listener.close();
    });

    test('a closed listener accepts nothing, closes what nobody took, and leaves the rest alone', async () => {
      const { listener, connect } = await transport.listen({});
      const taken = await connect();
      const takenFar = (await listener.accept())!;
      const waiting = await connect();
      await listener.close();
      await listener.close();
      expect(await waiting.receive()).toBeUndefined();
      expect(await listener.accept()).toBeUndefined();
      await expectTransportError(connect(), 'connect-failed');
      await taken.send([new Uint8Array([5])]);
      expect(await takenFar.receive()).toEqual(new Uint8Array([5]));
      await Promise.all([taken.close(), takenFar.close(), waiting.close()]);
    });

    test('an accept ends with the listener or with its signal', async () => {
      const { listener } = await transport.listen({});
      const aborting = new AbortController();
      const first = listener.accept(aborting.signal);
      aborting.abort(new Error('enough'));
      await expect(first).rejects.toThrow('enough');
      const second = listener.accept();
      await listener.close();
      expect(await second).toBeUndefined();
    });
  });
}

/** `size` bytes that depend on `seed`. */
export function filled(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + seed * 17 + (index >> 8)) & 255;
  return bytes;
}

/** Compares without the cost of `toEqual` on large arrays. */
function expectBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  expect(actual?.byteLength).toBe(expected.byteLength);
  expect(Buffer.compare(actual!, expected)).toBe(0);
}

export async function expectTransportError(promise: Promise<unknown>, code: TransportError['code']): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TransportError);
  expect((error as TransportError).code).toBe(code);
}

/** Sends numbered frames until one is not accepted within 300 ms; `last` is its promise. */
export async function sendUntilHeldUp(
  connection: Connection,
  frameBytes: number,
  framesMax: number,
): Promise<{ held: boolean; frames: number; last: Promise<void> }> {
  for (let frames = 0; frames < framesMax; frames += 1) {
    const last = connection.send([new Uint8Array(frameBytes).fill(frames % 256)]);
    last.catch(() => {});
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), 300);
    });
    const held = await Promise.race([last.then(() => false), late]);
    clearTimeout(timer);
    if (held) return { held, frames, last };
  }
  return { held: false, frames: framesMax, last: Promise.resolve() };
}
