// Connections break, sites and servers go: what can go on goes on with the same bits, and what cannot says so.

import { describe, expect, test, vi } from 'vitest';
import { DataError } from '../../src/base/index.ts';
import type { SiteEvent } from '../../src/site/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { planStudy, type TestStudy } from '../harness/study.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { Dice } from './mutations.ts';
import { fastClock, hastyClock, type Outcome, type PartySettings, serve, takePart } from './party.ts';

const seed = Number(process.env['SEPTUM_SEED'] ?? 1);
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });

describe('connections that are cut at any moment', () => {
  const counts = [30, 20, 10];
  const studies: Readonly<Record<string, TestStudy>> = {
    'union, mirrored': { counts },
    'union, mirrored, labels at the sites': { counts, choices: { labels: 'site' } },
    'union, mirrored, with sites that sit most steps out': { counts: [200, 1, 1], training: { batch: 3, epochs: 1 } },
    'union, average': { counts, training: { roundSteps: 2 }, choices: { segments: 'average' } },
    'turns, relay': { counts, training: { turnSteps: 1 }, choices: { order: 'turns', segments: 'relay' } },
    'averaged, private': { counts, choices: { order: 'none', trunk: 'averaged', segments: 'private' } },
    'buffered union, private': {
      counts,
      training: { windowSteps: 3, batch: 6 },
      choices: { when: 'buffered', segments: 'private' },
    },
    'buffered union, mirrored': { counts, training: { windowSteps: 4, batch: 6 }, choices: { when: 'buffered' } },
    detached: { counts, training: { augmentPasses: 40 }, choices: { when: 'detached', order: 'none' } },
  };

  test.each(Object.entries(studies))('change no bit of %s', async (_, study) => {
    const { cuts, run, undisturbed } = await runCut(study, { clock: hastyClock });
    expect(cuts, `seed ${seed}`).toBeGreaterThan(10);
    expect(run, `seed ${seed}`).toEqual(undisturbed);
  });

  test('change no bit where engines run in threads of their own', async () => {
    const { cuts, run, undisturbed } = await runCut({ counts }, { clock: hastyClock, placement: 'worker' });
    expect(cuts, `seed ${seed}`).toBeGreaterThan(10);
    expect(run, `seed ${seed}`).toEqual(undisturbed);
  });

  /** The study over a network that cuts, and over one that does not. */
  async function runCut(study: TestStudy, settings: PartySettings) {
    const planned = planStudy({ ...study, training: { epochs: 8, ...study.training } });
    const runOver = async (cutting: boolean) => {
      const listener = await listenWebSocket();
      const proxy = await CuttingProxy.open(listener.address, new Dice(seed, 'cuts'));
      proxy.cutting = cutting;
      const connect = (signal: AbortSignal) => connectWebSocket(proxy.url, { signal });
      const parties = [
        serve(planned, listener, settings),
        ...counts.map((_, site) => takePart(planned, site, connect, settings)),
      ];
      try {
        return { ends: (await Promise.all(parties)).map(resultOf), proxy };
      } finally {
        await proxy.close();
      }
    };
    const undisturbed = (await runOver(false)).ends;
    const { ends, proxy } = await runOver(true);
    return { cuts: proxy.cuts, run: ends, undisturbed };
  }
});

describe.concurrent('a party that goes', () => {
  const planned = planStudy({ counts: [30, 20], training: { epochs: 200 } });
  const speed = 20;
  const settings = { clock: fastClock(speed), timeoutMs: 3_000 * speed };
  const caught = (error: unknown) => error;

  /** Starts the study in memory; `atStep` is called when site B has made its third step. */
  function start() {
    const listener = createMemoryListener();
    const [server, a, b] = [new AbortController(), new AbortController(), new AbortController()];
    let reach: () => void = () => undefined;
    const underWay = new Promise<void>((resolve) => (reach = resolve));
    const onEvent = (event: SiteEvent) => {
      if (event.kind === 'step' && event.step === 2) reach();
    };
    const connect = () => listener.connect();
    return {
      listener,
      connect,
      underWay,
      abort: { server, a, b },
      server: serve(planned, listener, { ...settings, signal: server.signal }).catch(caught),
      a: takePart(planned, 0, connect, { ...settings, signal: a.signal }).catch(caught),
      b: takePart(planned, 1, connect, { ...settings, signal: b.signal }, onEvent).catch(caught),
    };
  }

  test('a site that stays away ends the study with its name, and the others are told', async () => {
    const study = start();
    await study.underWay;
    study.abort.b.abort(new Error('gone'));
    expect(await study.b).toMatchObject({ message: 'gone' });
    expect(await study.server).toMatchObject({
      name: 'TimeoutError',
      message: expect.stringMatching(/^site B is lost: no connection for 60 s while the study waits for its/),
    });
    expect(await study.a).toMatchObject({
      name: 'ProtocolError',
      code: 'refused-by-peer',
      message: expect.stringMatching(/study-stopped: site B is lost/),
    });
  });

  test('sites of a server that is stopped are told so at once', async () => {
    const study = start();
    await study.underWay;
    study.abort.server.abort(new Error('enough'));
    expect(await study.server).toMatchObject({ message: 'enough' });
    for (const site of [study.a, study.b])
      expect(await site).toMatchObject({
        code: 'refused-by-peer',
        message: expect.stringContaining('the server was stopped'),
      });
  });

  test('sites whose server vanishes give up after their time', async () => {
    const listener = await listenWebSocket();
    const proxy = await CuttingProxy.open(listener.address, new Dice(seed, 'vanishing'));
    proxy.cutting = false;
    const stop = new AbortController();
    let reach: () => void = () => undefined;
    const underWay = new Promise<void>((resolve) => (reach = resolve));
    const connect = (signal: AbortSignal) => connectWebSocket(proxy.url, { signal });
    const onEvent = (event: SiteEvent) => {
      if (event.kind === 'step') reach();
    };
    const server = serve(planned, listener, { signal: stop.signal }).catch(caught);
    const sites = [0, 1].map((site) => takePart(planned, site, connect, settings, onEvent).catch(caught));
    await underWay;
    await proxy.close();
    for (const error of await Promise.all(sites))
      expect(error).toMatchObject({
        name: 'TimeoutError',
        message: expect.stringMatching(/^site [AB]: no connection to the server within 60 s: .*ECONNREFUSED/),
      });
    stop.abort(new Error('enough'));
    expect(await server).toMatchObject({ message: 'enough' });
  });

  test('a site that fails tells the server which kind of failure, and no more', async () => {
    const details: string[] = [];
    const listener = createMemoryListener();
    const stop = new AbortController();
    const server = serve(planned, listener, { ...settings, signal: stop.signal }, (event) => {
      if (event.kind === 'site' && event.state === 'lost') details.push(event.detail);
    }).catch(caught);
    const [whole, broken] = planned.data;
    const train = {
      ...broken!.parts.train,
      load: async () => {
        throw new DataError('bad-file', 'patient-17.png is broken');
      },
    };
    const failing = { ...planned, data: [whole!, { ...broken!, parts: { ...broken!.parts, train } }] };
    const a = takePart(failing, 0, () => listener.connect(), settings).catch(caught);
    const b = await takePart(failing, 1, () => listener.connect(), settings).catch(caught);
    expect(b).toMatchObject({ name: 'DataError', message: 'patient-17.png is broken' });
    // Tests go side by side: the one that is under way is no longer known here, as expect.poll would have it.
    await vi.waitFor(() =>
      expect(details).toEqual([expect.stringContaining('the site closes: bad-file: the site has stopped')]),
    );
    expect(details.join()).not.toContain('patient');
    stop.abort(new Error('enough'));
    await Promise.all([server, a]);
  });

  test('a site whose records cannot be read does not even connect', async () => {
    let connections = 0;
    const readAhead = async (): Promise<void> => {
      throw new DataError('bad-file', 'patient-17.png is broken');
    };
    const failing = { ...planned, data: planned.data.map((whole) => ({ ...whole, readAhead })) };
    const connect = async () => {
      connections += 1;
      return createMemoryListener().connect();
    };
    const site = await takePart(failing, 0, connect, settings).catch(caught);
    expect(site).toMatchObject({ name: 'DataError', message: 'patient-17.png is broken' });
    expect(connections).toBe(0);
  });
});

test('an abort leaves nothing open', async () => {
  const study = planStudy({ counts: [30, 20], training: { epochs: 200 } });
  await expect.poll(openHandles).toEqual({}); // what other tests leave takes a moment to go
  for (let times = 0; times < 3; times++) {
    const listener = await listenWebSocket();
    const stop = new AbortController();
    const connect = (signal: AbortSignal) => connectWebSocket(listener.address, { signal });
    let reach: () => void = () => undefined;
    const underWay = new Promise<void>((resolve) => (reach = resolve));
    const stranger = await connectWebSocket(listener.address); // never says hello
    const parties = [
      serve(study, listener, { signal: stop.signal }),
      ...[0, 1].map((site) =>
        takePart(study, site, connect, { signal: stop.signal }, (event) => {
          if (event.kind === 'step') reach();
        }),
      ),
    ].map((party) => party.catch((error: unknown) => error));
    await underWay;
    stop.abort(new Error('enough'));
    for (const error of await Promise.all(parties)) expect(error).toMatchObject({ message: 'enough' });
    await stranger.close();
  }
  await expect.poll(openHandles).toEqual({});
});

/** Sockets, servers and timers that keep this process alive, by kind. */
function openHandles(): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo())
    if (/TCP|Timeout/.test(kind)) kinds[kind] = (kinds[kind] ?? 0) + 1;
  return kinds;
}
