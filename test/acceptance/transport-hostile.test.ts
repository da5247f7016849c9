// What a peer can do to a WebSocket listener or to a site by breaking the rules: lose its own connection, and nothing else.

import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { ConfigError, TransportError } from '../../src/base/index.ts';
import type { Connection, Listener } from '../../src/transport/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { expectTransportError, filled, sendUntilHeldUp } from './transport-suite.ts';

const frameBytesMax = 100_000;

describe('a WebSocket listener', () => {
  let listener: Listener;
  let honest: Connection;
  let honestFar: Connection;

  beforeEach(async () => {
    listener = await listenWebSocket({ frameBytesMax, handshakeTimeoutMs: 300, closeTimeoutMs: 200 });
    honest = await connectWebSocket(listener.address, { frameBytesMax });
    honestFar = (await listener.accept())!;
  });

  afterEach(async () => {
    await honest.send([filled(1000, 1)]);
    const received = await honestFar.receive();
    if (!received || Buffer.compare(received, filled(1000, 1)) !== 0) throw new Error('the honest connection suffered');
    await Promise.all([honest.close(), honestFar.close(), listener.close()]);
  });

  const mask = [0, 0, 0, 0];
  test.each([
    ['a frame announced above the limit', 'too-large', [0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, ...mask]],
    [
      'a frame announced beyond all numbers',
      'closed',
      [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...mask],
    ],
    ['text', 'closed', [0x81, 0x82, ...mask, 0x68, 0x69]],
    ['a reserved opcode', 'closed', [0x83, 0x80, ...mask]],
    ['a reserved control opcode', 'closed', [0x8f, 0x80, ...mask]],
    ['a reserved bit', 'closed', [0xc2, 0x80, ...mask]],
    ['a frame without a mask', 'closed', [0x82, 0x01, 0x00]],
    ['a continuation of nothing', 'closed', [0x80, 0x81, ...mask, 1]],
    ['a ping in fragments', 'closed', [0x09, 0x80, ...mask]],
    ['a ping that is too long', 'closed', [0x89, 0xfe, 0x01, 0x00, ...mask]],
    [
      'more fragments than a message may have',
      'closed',
      [0x02, 0x80, ...mask, ...Array.from({ length: 5000 }, () => [0x00, 0x80, ...mask]).flat()],
    ],
    [
      'fragments that add up to more than the limit',
      'too-large',
      [...fragment(0x02, 60_000), ...fragment(0x80, 60_000)],
    ],
  ] as const)('drops a peer that sends %s', async (_what, code, bytes) => {
    const [socket, far] = await openRaw(listener);
    await expectStillEmpty(far);
    socket.write(Uint8Array.from(bytes));
    await expectTransportError(far.receive(), code);
    await expectTransportError(far.send([new Uint8Array(1)]), code);
    await far.close();
    socket.destroy();
  });

  test('hears a peer no more that sends beyond its bound, and can still say why', async () => {
    const [socket, far] = await openRaw(listener);
    far.boundInbound(4096);
    // One frame within the transport's limit, announced and sent piece by piece, to its end.
    socket.write(Uint8Array.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x80, 0, ...mask]));
    for (let pieces = 0; pieces < 96; pieces++) {
      socket.write(new Uint8Array(1024));
      if (pieces % 8 === 0) await wait(1);
    }
    await expectTransportError(far.receive(), 'too-large');
    far.boundInbound(undefined);
    socket.write(Uint8Array.from([0x82, 0x80, ...mask]));
    await expectTransportError(far.receive(), 'too-large');
    expect(far.bytesReceived).toBe(0);
    const told = once(socket, 'data');
    await far.send([filled(3, 1)]);
    expect([...((await told)[0] as Buffer).subarray(0, 2)]).toEqual([0x82, 3]);
    const closed = once(socket, 'close');
    await far.close();
    await closed;
  });

  test('tells a peer that sends text why it is dropped', async () => {
    const text = new WebSocket(listener.address, { perMessageDeflate: false });
    text.once('open', () => text.send('hello'));
    const far = (await listener.accept())!;
    expect((await once(text, 'close'))[0]).toBe(1003);
    await far.close();
  });

  test('survives random bytes after the handshake', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
        const [socket, far] = await openRaw(listener);
        socket.end(bytes);
        // Whatever arrives is a whole frame within the limit; then the connection ends in order or with a typed error.
        const { frames, end } = await drain(far);
        expect(frames.every((frame) => frame.byteLength <= frameBytesMax)).toBe(true);
        expect(end === undefined || end instanceof TransportError).toBe(true);
        await far.close();
        socket.destroy();
      }),
      { numRuns: 150, seed: 11 },
    );
  });

  test('delivers the whole frames of a peer that vanishes in the middle of one', async () => {
    const [socket, far] = await openRaw(listener);
    socket.write(Uint8Array.from([...fragment(0x82, 3), 0x82, 0x85, 0, 0, 0, 0, 1]));
    socket.end();
    expect(await far.receive()).toEqual(new Uint8Array(3));
    await expectTransportError(far.receive(), 'closed');
    await far.close();
  });

  test('takes frames with a random mask and in fragments, as a browser may send them', async () => {
    const browserLike = new WebSocket(listener.address, { perMessageDeflate: false });
    await once(browserLike, 'open');
    const far = (await listener.accept())!;
    const whole = filled(90_000, 5);
    browserLike.send(whole.slice(0, 30_000), { fin: false });
    browserLike.send(whole.slice(30_000, 70_000), { fin: false });
    browserLike.send(whole.slice(70_000), { fin: true });
    const received = (await far.receive())!;
    expect(received.byteOffset % 64).toBe(0);
    expect(Buffer.compare(received, whole)).toBe(0);
    browserLike.close();
    expect(await far.receive()).toBeUndefined();
    await far.close();
  });

  test.each([
    ['a plain request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 426/],
    ['a page of another origin', upgradeRequest('Origin: https://example.org\r\n'), /^HTTP\/1\.1 403/],
    ['an upgrade without a key', upgradeRequest('').replace(/Sec-WebSocket-Key.*\r\n/, ''), /^HTTP\/1\.1 400/],
    ['what is not HTTP', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', /^$/],
    ['headers without end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}`, /^$/],
    ['a handshake that stops halfway', 'GET / HTTP/1.1\r\nHost: x\r\n', /^(HTTP\/1\.1 408.*)?$/s],
    ['a connection that says nothing', '', /^(HTTP\/1\.1 408.*)?$/s],
  ])('turns away %s', async (_what, request, answer) => {
    const socket = connectTcp(portOf(listener), '127.0.0.1');
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (data) => (text += data.toString('latin1')));
    socket.write(request);
    await once(socket, 'close');
    expect(text).toMatch(answer);
  });

  test('lets in a page whose origin it was told of', async () => {
    await using other = await listenWebSocket({ origins: ['https://site.example'] });
    const page = new WebSocket(other.address, { origin: 'https://site.example' });
    await once(page, 'open');
    expect(page.readyState).toBe(WebSocket.OPEN);
    page.terminate();
  });
});

describe('heartbeats', () => {
  test('a peer that is silent for three of them is given up', async () => {
    await using listener = await listenWebSocket({ heartbeatMs: 40, closeTimeoutMs: 200 });
    const [socket, far] = await openRaw(listener);
    await expect(far.receive()).rejects.toThrow(/nothing was heard for 120 ms/);
    await far.close();
    socket.destroy();
  });

  test('a peer that is slow to read is not given up', async () => {
    const options = { heartbeatMs: 40, backlogBytesMax: 64 * 1024 };
    await using listener = await listenWebSocket(options);
    const near = await connectWebSocket(listener.address, options);
    const far = (await listener.accept())!;
    const accepted = await sendUntilHeldUp(near, 64 * 1024, 4000);
    expect(accepted.held).toBe(true);
    await wait(400);
    for (let index = 0; index <= accepted.frames; index += 1) expect(await far.receive()).toBeDefined();
    await accepted.last;
    await Promise.all([near.close(), far.close()]);
  });
});

describe('connectWebSocket', () => {
  test('refuses every address without TLS that is not this machine, as listenWebSocket does', async () => {
    for (const host of [
      '0.0.0.0',
      '192.168.1.5',
      '::',
      '::ffff:10.0.0.1',
      'example.org',
      '127.0.0.1.example.org',
      '',
    ]) {
      await expect(listenWebSocket({ host })).rejects.toThrow(ConfigError);
    }
    for (const url of ['ws://10.0.0.1:1', 'ws://example.org', 'http://127.0.0.1:1', 'nonsense']) {
      await expect(connectWebSocket(url)).rejects.toThrow(ConfigError);
    }
  });

  test('works on IPv6 loopback and by the name localhost', async () => {
    await using listener = await listenWebSocket({ host: '::1' });
    const six = await connectWebSocket(listener.address);
    expect(six.remote).toContain('::1');
    await using byName = await listenWebSocket();
    const named = await connectWebSocket(byName.address.replace('127.0.0.1', 'localhost'));
    expect(named.remote).toMatch(/127\.0\.0\.1|::1/);
    await Promise.all([six.close(), named.close()]);
  });

  test('names every option that is out of range', async () => {
    const error = await listenWebSocket({ frameBytesMax: 2 ** 31, heartbeatMs: 0, backlogFramesMax: 1.5 }).catch(
      (reason: unknown) => reason,
    );
    expect((error as ConfigError).problems.map((problem) => problem.split(' ')[0])).toEqual([
      'frameBytesMax',
      'backlogFramesMax',
      'heartbeatMs',
    ]);
  });

  test('fails with connect-failed where nobody listens, nobody answers, or no WebSocket stands', async () => {
    await expectTransportError(connectWebSocket('ws://127.0.0.1:9'), 'connect-failed');
    for (const answer of [
      '',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    ]) {
      const server = await listenTcp((socket) => socket.write(answer));
      await expectTransportError(connectWebSocket(server.url, { handshakeTimeoutMs: 200 }), 'connect-failed');
      server.close();
    }
  });

  test('is refused with a reason by a server that answers with an HTTP error', async () => {
    const server = await listenTcp((socket) => socket.end('HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n'));
    const connecting = connectWebSocket(server.url);
    await expectTransportError(connecting, 'refused');
    await expect(connecting).rejects.toThrow('HTTP 503');
    server.close();
  });

  test('ends with its signal', async () => {
    const server = await listenTcp(() => {});
    const aborting = new AbortController();
    const connecting = connectWebSocket(server.url, { signal: aborting.signal });
    setImmediate(() => aborting.abort(new Error('no longer wanted')));
    await expect(connecting).rejects.toThrow('no longer wanted');
    server.close();
  });

  test('breaks off with a server that breaks the rules', async () => {
    for (const bytes of [
      [0x82, 0x81, 1, 2, 3, 4, 5],
      [0x82, 0x7f, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff],
      [0x81, 0x01, 0x41],
    ]) {
      const server = await listenTcp((socket, request) => {
        const key = /sec-websocket-key: (.*)\r\n/i.exec(request)![1]!;
        const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
        socket.write(Uint8Array.from(bytes));
      });
      const connection = await connectWebSocket(server.url, { frameBytesMax, closeTimeoutMs: 100 });
      await expect(connection.receive()).rejects.toThrow(TransportError);
      await connection.close();
      server.close();
    }
  });
});

/** A message or fragment of zeros under a mask of zeros; `first` is its first byte (fin and opcode). */
function fragment(first: number, bytes: number): number[] {
  const length = bytes < 126 ? [0x80 | bytes] : [0xfe, bytes >> 8, bytes & 255];
  return [first, ...length, 0, 0, 0, 0, ...Array<number>(bytes).fill(0)];
}

function upgradeRequest(headers: string): string {
  return `GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`;
}

function portOf(listener: Listener): number {
  return Number(new URL(listener.address).port);
}

/** A TCP socket after a WebSocket handshake by hand, and the listener's connection. It reads and answers nothing. */
async function openRaw(listener: Listener): Promise<[Socket, Connection]> {
  const socket = connectTcp(portOf(listener), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(upgradeRequest(''));
  const far = (await listener.accept())!;
  socket.resume();
  return [socket, far];
}

/** Everything the connection still gives, and the error it ended with, if it did. */
async function drain(
  connection: Connection,
): Promise<{ readonly frames: readonly Uint8Array[]; readonly end: unknown }> {
  const frames: Uint8Array[] = [];
  try {
    for (let frame = await connection.receive(); frame; frame = await connection.receive()) frames.push(frame);
    return { frames, end: undefined };
  } catch (error) {
    return { frames, end: error };
  }
}

async function expectStillEmpty(connection: Connection): Promise<void> {
  const aborting = new AbortController();
  const receiving = connection.receive(aborting.signal);
  aborting.abort(new Error('nothing there'));
  await expect(receiving).rejects.toThrow('nothing there');
}

/** A TCP server that calls back with the first data of each socket. */
async function listenTcp(
  onRequest: (socket: Socket, request: string) => void,
): Promise<{ readonly url: string; readonly close: () => void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', (data) => onRequest(socket, data.toString('latin1')));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
