// The queue of `buffered` and `arrival` with sites that are slow, gone, or do not read: nobody else waits for them, and whatever the order
// came to be, the log alone gives the bits.

import { describe, expect, test } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import { disciplines } from '../../src/protocol/index.ts';
import {
  type Connection,
  createMemoryListener,
  type FaultKind,
  faultyConnection,
  throughConnection,
} from '../../src/transport/index.ts';
import { expectSameBits } from '../equivalence/bits.ts';
import { planStudy, runInMemory, secretSeedOf } from '../harness/study.ts';
import { trainReference } from '../reference/index.ts';
import { fastClock, hastyClock, serve, takePart } from './party.ts';

const counts = [40, 30, 30];
const choices = { when: 'buffered', order: 'arrival', segments: 'private' } as const;

/** A gate that is shut until it is opened. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe.each(disciplines)('with the discipline %s', (discipline) => {
  const planned = planStudy({ counts, choices, training: { batch: 5, epochs: 2, windowSteps: 3, discipline } });
  const stepsOfOthers = 8 + 6;

  /** Runs the study with another way to connect for site C, and gives the sites of the first epoch's steps until the others were through. */
  async function untilOthersAreThrough(
    connectC: (through: Promise<void>) => () => Promise<Connection>,
    listener = createMemoryListener(),
  ) {
    const { opened, open } = gate();
    const order: number[] = [];
    const settings = { clock: hastyClock };
    const server = serve(planned, listener, settings, (event) => {
      if (event.kind !== 'step' || event.report.epoch > 0) return;
      order.push(event.report.siteLosses[0]!.site);
      if (order.filter((site) => site !== 2).length === stepsOfOthers) open();
    });
    const c = connectC(opened);
    const sites = [0, 1, 2].map((site) => takePart(planned, site, site === 2 ? c : () => listener.connect(), settings));
    await Promise.all([server, ...sites]);
    const last = order.findLastIndex((site) => site !== 2);
    return { before: order.slice(0, last), all: order };
  }

  test('a site that stops reading and sending holds nobody up', async () => {
    const listener = createMemoryListener();
    const { before, all } = await untilOthersAreThrough((through) => {
      let frames = 0;
      return async () => {
        const connection = await listener.connect();
        return throughConnection(connection, {
          send: (frame, signal) => connection.send(frame, signal),
          receive: async (signal) => {
            // Welcome, pooled, and the first cut gradient.
            if (++frames === 4) await through;
            return connection.receive(signal);
          },
        });
      };
    }, listener);
    // Its window and the batch that its first answer let it send.
    expect(before.filter((site) => site === 2).length).toBeLessThanOrEqual(4);
    expect(all.filter((site) => site === 2).length).toBe(6);
  });

  test('a site that is gone for a while holds nobody up', async () => {
    const listener = createMemoryListener();
    const { before, all } = await untilOthersAreThrough((through) => {
      let [opened, frames] = [0, 0];
      return async () => {
        if (opened++ === 1) await through;
        const connection = await listener.connect();
        return throughConnection(connection, {
          send: async (frame, signal) => {
            // Hello, census, and its first batch.
            if (++frames === 4) await connection.close();
            await connection.send(frame, signal);
          },
          receive: (signal) => connection.receive(signal),
        });
      };
    }, listener);
    expect(before.filter((site) => site === 2).length).toBe(1);
    expect(all.filter((site) => site === 2).length).toBe(6);
  });
});

test('a site that stays away ends the study, but not before the others have made their steps', async () => {
  const planned = planStudy({ counts, choices, training: { batch: 5, epochs: 2, windowSteps: 3 } });
  const speed = 20;
  const settings = { clock: fastClock(speed), timeoutMs: 2000 * speed };
  const listener = createMemoryListener();
  const order: number[] = [];
  const gone = new AbortController();
  const caught = (error: unknown) => error;
  const server = serve(planned, listener, settings, (event) => {
    if (event.kind === 'step') order.push(event.report.siteLosses[0]!.site);
  }).catch(caught);
  const connect = () => listener.connect();
  const onEvent = (event: { kind: string }) => {
    if (event.kind === 'step') gone.abort(new Error('gone'));
  };
  const sites = [0, 1].map((site) => takePart(planned, site, connect, settings).catch(caught));
  const c = takePart(planned, 2, connect, { ...settings, signal: gone.signal }, onEvent).catch(caught);
  expect(await server).toMatchObject({ name: 'TimeoutError', message: expect.stringMatching(/^site C is lost/) });
  expect(await c).toMatchObject({ message: 'gone' });
  for (const site of sites) expect(await site).toMatchObject({ code: 'refused-by-peer' });
  expect(order.filter((site) => site === 0).length).toBe(8);
  expect(order.filter((site) => site === 1).length).toBe(6);
});

test.each(['private', 'average'] as const)(
  'over a bad network the log still gives every bit, with %s segments',
  async (segments) => {
    const study = () =>
      planStudy({
        counts,
        choices: { ...choices, segments },
        training: { batch: 5, epochs: 4, windowSteps: 3, select: 'last' },
      });
    const listener = createMemoryListener();
    const shares = { delay: 0.05, duplicate: 0.02, reorder: 0.02, truncate: 0.02, corrupt: 0.02, disconnect: 0.02 };
    const faults: FaultKind[] = [];
    let connections = 0;
    const connect = async () =>
      faultyConnection(await listener.connect(), {
        seed: 5,
        place: [connections++],
        shares,
        clock: hastyClock,
        onFault: (kind) => faults.push(kind),
      });
    const openOne = () => openEngine({ placement: 'inline', threads: 1 });
    const outcome = await runInMemory(study(), {}, { listener, connect, openEngine: openOne });
    expect(faults.length).toBeGreaterThan(5);
    await using engine = await openOne();
    const { last } = await trainReference(study(), engine, { secretSeedOf, log: outcome.log });
    const trunk = Object.fromEntries(Object.keys(outcome.server.trunk).map((name) => [name, last.trunk[name]!]));
    expectSameBits(outcome.server.trunk, trunk, 'trunk');
    for (const [site, state] of last.sites.entries())
      expectSameBits(outcome.siteStates[site], state, `what site ${site} has`);
  },
);
