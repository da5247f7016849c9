import { describe, expect, test } from 'vitest';
import { FakeClock } from '../base/index.ts';
import { type FaultKind, faultyConnection, type FaultyOptions } from './faulty.ts';
import { createMemoryPair } from './memory.ts';
import type { Connection } from './transport.ts';

const frame = (value: number): Uint8Array => new Uint8Array(10).fill(value);

/** Two ends with a bad network between them, which `near` is on the other side of. */
function open(shares: FaultyOptions['shares'], more: Partial<FaultyOptions> = {}) {
  const clock = new FakeClock();
  const met: FaultKind[] = [];
  const [inner, far] = createMemoryPair();
  const options = { seed: 1, place: [0], shares, clock, graceFrames: 1, onFault: (kind: FaultKind) => met.push(kind) };
  return { clock, met, far, near: faultyConnection(inner, { ...options, ...more }) };
}

async function receiveAll(connection: Connection, frames: number): Promise<number[][]> {
  const received: number[][] = [];
  while (received.length < frames) received.push([...((await connection.receive()) ?? [])]);
  return received;
}

describe.each(['out', 'in'] as const)('a bad network, frames going %s', (direction) => {
  function ends(shares: FaultyOptions['shares'], more: Partial<FaultyOptions> = {}) {
    const { near, far, ...rest } = open(shares, more);
    const [from, to] = direction === 'out' ? [near, far] : [far, near];
    return { ...rest, from, to };
  }

  test('that does nothing passes everything on', async () => {
    const { from, to, met } = ends({});
    for (const value of [1, 2, 3]) await from.send([frame(value).subarray(0, 4), frame(value).subarray(4)]);
    expect(await receiveAll(to, 3)).toEqual([1, 2, 3].map((value) => [...frame(value)]));
    await from.close();
    expect(await to.receive()).toBeUndefined();
    expect(met).toEqual([]);
  });

  test('spares the first frames, and then doubles', async () => {
    const { from, to, met } = ends({ duplicate: 1 });
    for (const value of [1, 2]) await from.send([frame(value)]);
    expect(await receiveAll(to, 3)).toEqual([1, 2, 2].map((value) => [...frame(value)]));
    expect(met).toEqual(['duplicate']);
  });

  test('cuts short and spoils', async () => {
    const short = ends({ truncate: 1 });
    for (const value of [1, 2]) await short.from.send([frame(value)]);
    const [, cut] = await receiveAll(short.to, 2);
    expect(cut!.length).toBeLessThan(10);
    const spoilt = ends({ corrupt: 1 });
    for (const value of [1, 2]) await spoilt.from.send([frame(value)]);
    const [, wrong] = await receiveAll(spoilt.to, 2);
    expect(wrong!.slice(4)).toEqual([...frame(2)].slice(4));
    expect(wrong!.filter((byte) => byte !== 2)).toEqual([253]);
  });

  test('lets a frame be overtaken, or come late when none follows', async () => {
    const { from, to, clock, met } = ends({ reorder: 1 }, { delayMsMost: 50 });
    for (const value of [1, 2, 3]) await from.send([frame(value)]);
    expect(await receiveAll(to, 2)).toEqual([1, 2].map((value) => [...frame(value)]));
    const last = to.receive();
    await clock.advance(50);
    expect([...((await last) ?? [])]).toEqual([...frame(3)]);
    expect(met).toEqual(['reorder', 'reorder']);
  });

  test('holds everything up for a while, or lets through so many bytes a second', async () => {
    for (const [shares, more, ms] of [
      [{ stall: 1 }, { stallMs: 3000 }, 3000],
      [{}, { bytesPerSecond: 10 }, 2000],
    ] as const) {
      const { from, to, clock } = ends(shares, more);
      void from.send([frame(1)]);
      void from.send([frame(2)]);
      let came = 0;
      void receiveAll(to, 2).then(() => (came = clock.nowMs()));
      await clock.advance(10_000);
      expect(came).toBe(ms);
    }
  });

  test('loses a frame and all after it, and tells nobody', async () => {
    const { from, to, met } = ends({ drop: 1 });
    for (const value of [1, 2, 3]) await from.send([frame(value)]);
    expect(await receiveAll(to, 1)).toEqual([[...frame(1)]]);
    const never = to.receive();
    await to.close();
    expect(await never).toBeUndefined();
    expect(met).toEqual(['drop']);
  });

  test('cuts the connection', async () => {
    const { from, to } = ends({ disconnect: 1 });
    await from.send([frame(1)]);
    expect(await receiveAll(to, 1)).toEqual([[...frame(1)]]);
    await from.send([frame(2)]).catch(() => undefined);
    expect(await to.receive().catch(() => undefined)).toBeUndefined();
    await expect(from.send([frame(3)])).rejects.toMatchObject({ code: 'closed' });
  });
});

test('the faults of a connection are those of its seed and place', async () => {
  const shares = { duplicate: 0.3, truncate: 0.3 };
  const faultsOf = async (seed: number, place: number): Promise<FaultKind[]> => {
    const { near, met } = open(shares, { seed, place: [place] });
    for (let value = 0; value < 30; value++) await near.send([frame(value)]);
    return met;
  };
  expect(await faultsOf(1, 0)).toEqual(await faultsOf(1, 0));
  expect(await faultsOf(1, 0)).not.toEqual(await faultsOf(2, 0));
  expect(await faultsOf(1, 0)).not.toEqual(await faultsOf(1, 1));
});
