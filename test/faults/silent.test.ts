// A site that does not come, or is connected and says nothing. The server's time stands still unless the test moves it, so honest work takes none.

import { setTimeout as realTime } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { FakeClock } from '../../src/base/index.ts';
import type { ServerEvent } from '../../src/server/index.ts';
import { createMemoryListener, type MemoryListener } from '../../src/transport/index.ts';
import { planStudy } from '../harness/study.ts';
import { type Outcome, serve, takePart } from './party.ts';
import { Pretender } from './pretender.ts';

const planned = planStudy({ counts: [30, 20, 10] });
const minuteMs = 60_000;
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });

/** Moves time on, minute by minute, until `work` is done. */
async function whileTimePasses<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let over = false;
  void work.catch(() => undefined).finally(() => (over = true));
  while (!over) {
    await clock.advance(minuteMs);
    await realTime(1);
  }
  return work;
}

/** A server whose time the test moves, and what it tells of site A's connections. */
function serveByHand(listener: MemoryListener) {
  const clock = new FakeClock();
  const told: string[] = [];
  let here = 0;
  let allHere: () => void = () => undefined;
  const othersAreHere = new Promise<void>((resolve) => (allHere = resolve));
  const onEvent = (event: ServerEvent) => {
    if (event.kind !== 'site') return;
    if (event.site === 'A') told.push(`${event.state} ${event.detail}`);
    else if (event.state === 'connected' && ++here === 2) allHere();
  };
  return { clock, told, othersAreHere, server: serve(planned, listener, { clock, timeoutMs: minuteMs }, onEvent) };
}

let undisturbed: Outcome;
const join = (listener: MemoryListener, site: number) => takePart(planned, site, () => listener.connect());

beforeAll(async () => {
  const listener = createMemoryListener();
  const server = serve(planned, listener);
  await Promise.all([0, 1, 2].map((site) => join(listener, site)));
  undisturbed = await server;
});

describe('a site that has not come yet', () => {
  test('is waited for without end: the day it takes changes nothing', async () => {
    const listener = createMemoryListener();
    const { clock, othersAreHere, server } = serveByHand(listener);
    const others = [1, 2].map((site) => join(listener, site));
    await othersAreHere;
    for (let hour = 0; hour < 24; hour++) await clock.advance(60 * minuteMs);
    await Promise.all([join(listener, 0), ...others]);
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
  });

  test('ends the study when it does not come within the time given, and nothing is said of a commit', async () => {
    const clock = new FakeClock();
    const settings = { clock, timeoutMs: minuteMs, joinTimeoutMs: 10 * minuteMs };
    const ended = serve(planned, createMemoryListener(), settings).catch((error: unknown) => error);
    expect(await whileTimePasses(clock, ended)).toMatchObject({
      name: 'TimeoutError',
      message: 'site A has not connected within 600 s. The study stops before its first commit',
    });
    expect(clock.nowMs()).toBeGreaterThanOrEqual(10 * minuteMs);
  });
});

describe('a site that is connected and silent', () => {
  test('loses its connection after ten minutes; the study goes on when it is back and speaks', async () => {
    const listener = createMemoryListener();
    const { clock, told, server } = serveByHand(listener);
    const others = [1, 2].map((site) => join(listener, site));
    const mute = await Pretender.open(planned, 0, await listener.connect());
    expect(await whileTimePasses(clock, mute.next())).toMatchObject({
      kind: 'refuse',
      text: expect.stringMatching(/^timeout: the site is connected, but silent for 600 s .*census/),
      scalars: [1],
    });
    for (const { tally } of await Promise.all([join(listener, 0), ...others])) expect(tally).toEqual({ connected: 1 });
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
    expect(told).toContainEqual('lost site A: connected, but silent for 600 s while the study waits for its census');
  });

  test('and again when it has come back ends the study, with its name and what it was to say', async () => {
    const listener = createMemoryListener();
    const { clock, server } = serveByHand(listener);
    const ended = server.catch((error: unknown) => error);
    const others = [1, 2].map((site) => join(listener, site).catch((error: unknown) => error));
    const mute = await Pretender.open(planned, 0, await listener.connect());
    await mute.census([30, 8, 8], [30, 8, 8], []);
    expect(await mute.next()).toMatchObject({ kind: 'pooled' });
    expect(await whileTimePasses(clock, mute.next())).toMatchObject({ text: expect.stringContaining('silent') });
    await mute.comeBack(await listener.connect());
    expect(await whileTimePasses(clock, ended)).toMatchObject({
      name: 'TimeoutError',
      message: expect.stringMatching(
        /^site A is connected, but silent for 600 s .* its activations, and not for the f/,
      ),
    });
    for (const error of await Promise.all(others)) expect(error).toMatchObject({ code: 'refused-by-peer' });
  });

  test('because it waits for another site keeps its connection, however long that takes', async () => {
    const listener = createMemoryListener();
    const { clock, othersAreHere, server } = serveByHand(listener);
    const others = [1, 2].map((site) => join(listener, site));
    await othersAreHere;
    // Site A has been there and is lost: the study waits for it within its time.
    const first = await Pretender.open(planned, 0, await listener.connect());
    for (let minutes = 0; minutes < 9; minutes++) await clock.advance(minuteMs);
    await first.close();
    await clock.advance(minuteMs / 2);
    const again = await Pretender.open(planned, 0, await listener.connect());
    for (let minutes = 0; minutes < 9; minutes++) await clock.advance(minuteMs);
    await again.close();
    for (const { tally } of await Promise.all([join(listener, 0), ...others])) expect(tally).toEqual({ connected: 1 });
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
  });
});
