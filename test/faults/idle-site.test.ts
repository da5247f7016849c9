// A site that sits out thousands of steps of a mirrored study: the sums that it is sent are acknowledged in between, so that the server
// keeps no more of them than the protocol's bound, whether the site is there, slow or gone.

import { expect, test } from 'vitest';
import { MESSAGES_UNACKNOWLEDGED } from '../../src/protocol/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { planStudy } from '../harness/study.ts';
import { counting, type Passed } from './counting-connection.ts';
import { fastClock, serve, takePart } from './party.ts';

// 2001 steps of two records. B's only record is in the last.
const planned = planStudy({ counts: [4001, 1], training: { batch: 2, epochs: 1 } });
const speed = 20;
const settings = { clock: fastClock(speed), timeoutMs: 3_000 * speed };

test('acknowledges the sums of 2000 steps that it sits out, at the latest every 64 messages', async () => {
  const listener = createMemoryListener();
  const passed: Passed[] = [];
  await Promise.all([
    serve(planned, listener),
    takePart(planned, 0, () => listener.connect()),
    takePart(planned, 1, async () => counting(await listener.connect(), passed)),
  ]);
  const idle = passed.slice(
    0,
    passed.findIndex(({ kind }) => kind === 'activations'),
  );
  expect(idle.filter(({ kind }) => kind === 'gradient-sum').length).toBe(2000);
  let row = 0;
  for (const { direction } of passed) {
    row = direction === 'down' ? row + 1 : 0;
    expect(row).toBeLessThanOrEqual(MESSAGES_UNACKNOWLEDGED);
  }
  // Little goes up for it: one message for 64.
  expect(idle.filter(({ kind }) => kind === 'acknowledge').length).toBe(31);
});

test('stops the server after 64 messages when it has gone, and is named', async () => {
  const listener = createMemoryListener();
  const gone = new AbortController();
  let steps = 0;
  const ended = serve(planned, listener, settings, (event) => {
    if (event.kind === 'step') steps += 1;
    if (event.kind === 'counts') gone.abort(new Error('gone'));
  }).catch((error: unknown) => error);
  const other = takePart(planned, 0, () => listener.connect(), settings).catch((error: unknown) => error);
  await expect(takePart(planned, 1, () => listener.connect(), { ...settings, signal: gone.signal })).rejects.toThrow(
    'gone',
  );
  expect(await ended).toMatchObject({
    name: 'TimeoutError',
    message: expect.stringMatching(/^site B is lost: .* waits for its acknowledgement/),
  });
  // The pool's facts and 63 sums; the step whose sum would be one too many has been made.
  expect(steps).toBe(MESSAGES_UNACKNOWLEDGED);
  expect(await other).toMatchObject({ code: 'refused-by-peer' });
});
