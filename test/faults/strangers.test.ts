// Peers that are no site of the study, or say they are: each is told by a typed word why it must go, and the study beside it ends with
// the bits that it has without them.

import { createConnection } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { TransportError } from '../../src/base/index.ts';
import { hello, type Message, message, planHash, requireRecords } from '../../src/protocol/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { mlp, planStudy } from '../harness/study.ts';
import { Dice, frameOf } from './mutations.ts';
import { fastClock, type Outcome, serve, takePart } from './party.ts';
import { Pretender, received } from './pretender.ts';

const planned = planStudy({ counts: [30, 20, 10] });
const hash = planHash(planned.plan);
const everyone = [0, 1, 2];
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });

describe('a study over WebSockets', () => {
  let undisturbed: Outcome;

  beforeAll(async () => {
    const listener = await listenWebSocket();
    const connect = () => connectWebSocket(listener.address);
    const server = serve(planned, listener);
    await Promise.all(everyone.map((site) => takePart(planned, site, connect)));
    undisturbed = await server;
  });

  /** Says one thing on a connection of its own and gives the answer; undefined when there is none. */
  async function say(url: string, what: Message | Uint8Array): Promise<Message | undefined> {
    const connection = await connectWebSocket(url);
    await connection.send([what instanceof Uint8Array ? what : frameOf(what)]);
    const answer = await received(connection);
    await connection.close();
    return answer;
  }

  const refused = (code: string, mayReturn: boolean | 'anew') =>
    expect.objectContaining({
      kind: 'refuse',
      text: expect.stringMatching(`^${code}: `),
      scalars: [mayReturn === 'anew' ? 2 : mayReturn ? 1 : 0],
    });

  /** Runs the study while `attack` does its worst; A takes part from the start, B and C when the attacker lets them in. */
  async function runBeside(
    attack: (url: string, letIn: () => void, server: Promise<unknown>) => Promise<void>,
    speed = 1,
  ) {
    let joined: () => void = () => undefined;
    const hasJoined = new Promise<void>((resolve) => (joined = resolve));
    const listener = await listenWebSocket();
    const connect = () => connectWebSocket(listener.address);
    const settings = { clock: fastClock(speed), timeoutMs: 60_000 * speed };
    const server = serve(planned, listener, settings, (event) => {
      if (event.kind === 'site' && event.state === 'connected') joined();
    });
    const first = takePart(planned, 0, connect);
    let letIn: () => void = () => undefined;
    const others = new Promise<void>((resolve) => (letIn = resolve)).then(() =>
      Promise.all([1, 2].map((site) => takePart(planned, site, connect))),
    );
    await hasJoined;
    await attack(listener.address, letIn, server).finally(letIn);
    const sites = [await first, ...(await others)];
    const outcome = await server;
    expect(resultOf(outcome)).toEqual(resultOf(undisturbed));
    for (const { tally } of sites) expect(tally).toEqual({ connected: 1 });
    return outcome;
  }

  test('one that never says hello is told so after a while', async () => {
    const outcome = await runBeside(async (url) => {
      const silent = await connectWebSocket(url);
      expect(await received(silent)).toEqual(refused('timeout', true));
      expect(await silent.receive()).toBeUndefined();
    }, 50);
    expect(outcome.tally['refused timeout']).toBe(1);
  });

  test('hellos that are wrong are refused, each for its own reason', async () => {
    const outcome = await runBeside(async (url) => {
      const wrongPlan = `${hash.slice(0, -1)}${hash.endsWith('0') ? '1' : '0'}`;
      expect(await say(url, hello('B', wrongPlan, 0, 'test'))).toEqual(refused('plan-mismatch', false));
      expect(await say(url, hello('Z', hash, 0, 'test'))).toEqual(refused('unknown-site', false));
      expect(await say(url, hello('', hash, 0, 'test'))).toEqual(refused('unknown-site', false));
      expect(await say(url, { ...hello('B', hash, 0, 'test'), scalars: [1] })).toEqual(refused('bad-field', false));
      expect(await say(url, hello('B', hash, 7, 'test'))).toEqual(refused('study-went-back', 'anew'));
      expect(await say(url, hello('B', hash, 0, 'a b'))).toEqual(refused('bad-field', false));
      expect(await say(url, message('census'))).toEqual(refused('out-of-order', false));
      expect(await say(url, message('refuse', { scalars: [0] }))).toEqual(refused('refused', false));
    });
    expect(outcome.tally).toMatchObject({
      'refused plan-mismatch': 1,
      'refused unknown-site': 2,
      'refused bad-field': 2,
      'refused out-of-order': 1,
      'refused refused': 1,
    });
  });

  test('a name that is connected already may try again, and the site that has it feels nothing', async () => {
    const outcome = await runBeside(async (url) => {
      for (let times = 0; times < 5; times++)
        expect(await say(url, hello('A', hash, times, 'test'))).toEqual(refused('already-connected', true));
    });
    expect(outcome.tally['refused already-connected']).toBe(5);
  });

  test('a second hello on a connection ends it', async () => {
    await runBeside(async (url) => {
      const connection = await connectWebSocket(url);
      await connection.send([frameOf(hello('B', hash, 0, 'test'))]);
      expect(await received(connection)).toEqual(expect.objectContaining({ kind: 'welcome', sequence: 0 }));
      await connection.send([frameOf(hello('B', hash, 0, 'test'))]);
      expect(await received(connection)).toEqual(refused('out-of-order', true));
      await connection.close();
    });
  });

  test('garbage, frames beyond the limit and half-open sockets cost nobody else', async () => {
    const dice = new Dice(5, 'garbage');
    await runBeside(async (url) => {
      for (let times = 0; times < 20; times++)
        expect(await say(url, dice.bytes(dice.integer(3000)))).toEqual(refused('bad-frame', false));
      const port = Number(new URL(url).port);
      const answer = await upgraded(port, Uint8Array.of(0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0));
      expect([...answer.subarray(0, 4)]).toEqual([0x88, answer[1], 0x03, 0xf1]); // close, 1009: too large
      for (let times = 0; times < 20; times++)
        createConnection(port, '127.0.0.1')
          .on('error', () => undefined)
          .end();
    });
  });

  test('a first frame that is larger than any hello is not read to its end', async () => {
    const outcome = await runBeside(async (url) => {
      for (const bytes of [5000, 60_000_000]) {
        const connection = await connectWebSocket(url);
        await connection.send([new Uint8Array(bytes)]);
        expect(await received(connection)).toEqual(refused('too-large', false));
        expect(await connection.receive().catch(() => undefined)).toBeUndefined();
        await connection.close();
      }
    });
    expect(outcome.tally['refused too-large']).toBe(2);
  });

  test('a flood of hellos is refused one by one while the study goes on', async () => {
    let sent = 0;
    const outcome = await runBeside(async (url, letIn, server) => {
      let over = false;
      void server.finally(() => (over = true));
      while (!over) {
        const flood = Array.from({ length: 100 }, () => say(url, hello(`S${(sent += 1)}`, hash, 0, 'test')));
        letIn();
        for (const answer of await Promise.allSettled(flood)) {
          // When the study is over there is nobody to answer.
          if (answer.status === 'rejected') expect(answer.reason).toBeInstanceOf(TransportError);
          else if (answer.value) expect(answer.value).toEqual(refused('unknown-site', false));
        }
      }
    });
    expect(outcome.tally['refused unknown-site']).toBeGreaterThanOrEqual(100);
  });
});

describe.concurrent('a pretender', () => {
  const speed = 100;
  const settings = { clock: fastClock(speed), timeoutMs: 3000 * speed };
  const sums = planned.data[1]!.pooling.sums();
  const honestSums = [...sums.inputs.counts, ...sums.target.counts].flatMap((times, column) => [
    times,
    [...sums.inputs.sums, ...sums.target.sums][column]!,
    [...sums.inputs.squares, ...sums.target.squares][column]!,
  ]);

  test.each([
    ['negative', [-20, 5, 5], [-20, 5, 5], honestSums, 'not one of 0 to'],
    ['huge', [2 ** 31 - 1, 5, 5], [2 ** 31 - 1, 5, 5], honestSums, 'not one of 0 to'],
    ['inconsistent', [20, 5, 5], [20, 5, 6], honestSums, '5 records in part 2, but 6 of all classes'],
    ['impossible in their sums', [20, 5, 5], [20, 5, 5], honestSums.with(2, 0), 'sums of column 0'],
    ['beyond float64 when added', [20, 5, 5], [20, 5, 5], honestSums.with(2, 1e308), 'sums of column 0'],
    ['of more values than records', [20, 5, 5], [20, 5, 5], honestSums.with(0, 21), 'sums of column 0'],
  ])(
    'whose counts are %s loses its connection, and the study ends with its name',
    async (_, counts, classes, sums, why) => {
      const listener = createMemoryListener();
      const ended = serve(planned, listener, settings).catch((error: unknown) => error);
      const told = takePart(planned, 0, () => listener.connect(), settings).catch((error: unknown) => error);
      const pretender = await Pretender.open(planned, 1, await listener.connect());
      await pretender.census(counts, classes, sums);
      expect(await pretender.next()).toMatchObject({
        kind: 'refuse',
        text: expect.stringContaining(why),
        scalars: [1],
      });
      const error = await ended;
      expect(error).toMatchObject({
        name: 'TimeoutError',
        message: expect.stringMatching(/^site B is lost: .*census/),
      });
      expect((error as Error).message).toContain(why);
      expect(await told).toMatchObject({ code: 'refused-by-peer', message: expect.stringContaining('site B is lost') });
    },
  );

  test('that sends a census of too few records ends the study with its name', async () => {
    const listener = createMemoryListener();
    const ended = serve(planned, listener, settings).catch((error: unknown) => error);
    for (const site of everyone) {
      const pretender = await Pretender.open(planned, site, await listener.connect());
      await pretender.census([0, 0, 0], [0, 0, 0], []);
    }
    expect(await ended).toMatchObject({
      name: 'DataError',
      code: 'too-few-records',
      message: expect.stringMatching(/^site A has 0 training records/),
    });
  });

  test.each([
    ['a label below zero under rmsle', { network: { ...mlp, loss: 'rmsle' as const } }, [{ labels: -5 }], 'labels'],
    [
      'a group beyond its records',
      { choices: { when: 'detached' as const, order: 'none' as const } },
      [{}, { groups: 8 }],
      'groups',
    ],
  ])('that sends %s loses its connection, and nobody else does', async (_, study, messages, tensorName) => {
    const alone = planStudy({ counts: [30], ...study });
    const listener = createMemoryListener();
    const ending = new AbortController();
    let tally = '';
    const ended = serve(alone, listener, { signal: ending.signal }, (event) => {
      if (event.kind === 'site') tally += ` ${event.state} ${event.code}`;
    }).catch((error: unknown) => error);
    const pretender = await Pretender.open(alone, 0, await listener.connect());
    await pretender.census([30, 8, 8], [30, 8, 8], []);
    await pretender.pooled(alone);
    for (const fill of messages) await pretender.say(fill);
    expect(await pretender.next()).toMatchObject({
      kind: 'refuse',
      text: expect.stringMatching(`^bad-field: activations: tensor ${tensorName} has a`),
      scalars: [1],
    });
    expect(tally).toBe(' connected  refused bad-field');
    ending.abort(new Error('enough'));
    expect(await ended).toMatchObject({ message: 'enough' });
  });

  test('that reads nothing loses its connection in time, and is named', async () => {
    const listener = createMemoryListener({ backlogFramesMax: 1 });
    const lost: string[] = [];
    const ended = serve(planned, listener, settings, (event) => {
      if (event.kind === 'site' && event.site === 'C' && event.state === 'lost')
        lost.push(`${event.code} ${event.detail}`);
    }).catch((error: unknown) => error);
    const others = [0, 1].map((site) =>
      takePart(planned, site, () => listener.connect(), settings).catch((error: unknown) => error),
    );
    const pretender = await Pretender.open(planned, 2, await listener.connect(), true);
    await pretender.census([10, 3, 3], [10, 3, 3], []);
    expect(await ended).toMatchObject({
      name: 'TimeoutError',
      message: expect.stringMatching(/^site C is lost: .*site C reads nothing/),
    });
    expect(lost).toEqual([expect.stringContaining('site C reads nothing')]);
    for (const error of await Promise.all(others)) expect(error).toMatchObject({ code: 'refused-by-peer' });
  });
});

test('a site with too few records says so itself and does not even connect', async () => {
  const { plan } = planned;
  expect(() => requireRecords({ ...plan, minCount: 10 }, 2, 10)).not.toThrow();
  const connect = () => Promise.reject(new Error('it must not connect'));
  await expect(takePart({ ...planned, plan: { ...plan, minCount: 11 } }, 2, connect)).rejects.toMatchObject({
    name: 'DataError',
    code: 'too-few-records',
    message: 'site C has 10 training records, but the study asks for at least 11 (data.minCount)',
  });
});

test('a site with a target that rmsle cannot take says so itself and does not even connect', async () => {
  const rmsle = planStudy({ counts: [30], network: { ...mlp, loss: 'rmsle' } });
  rmsle.data[0]!.parts.val.labels.set([-0.5], 3);
  const connect = () => Promise.reject(new Error('it must not connect'));
  await expect(takePart(rmsle, 0, connect)).rejects.toMatchObject({
    name: 'DataError',
    message: expect.stringMatching(/site A: \d+ records have a target below zero, the first is .*use mse/),
  });
});

/** Sends bytes over a socket that has become a WebSocket, and gives the first bytes that come back. */
function upgraded(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1', () => {
      socket.write(
        'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
    });
    let head = true;
    socket.on('error', reject);
    socket.on('data', (data) => {
      if (head) {
        head = false;
        socket.write(bytes);
        return;
      }
      resolve(data);
      socket.destroy();
    });
  });
}
