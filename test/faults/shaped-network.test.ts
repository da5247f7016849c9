// The network that benches and fault runs put between real processes is as fast, as far and as full as it says.

import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Line, ShapedNetwork } from '../../bench/parts/shaped-network.mjs';

let server: Server | undefined;
let network: ShapedNetwork | undefined;

afterEach(async () => {
  await network?.close();
  await new Promise((resolve) => server?.close(resolve));
});

/** A server that does `serve` with each connection, behind a network. */
async function behind(
  serve: (socket: Socket) => void,
  lines: (connection: number) => { readonly up: Line; readonly down: Line },
): Promise<() => Promise<Socket>> {
  const sockets = createServer((socket) => serve(socket.on('error', () => undefined)));
  server = sockets;
  await new Promise<void>((resolve) => sockets.listen(0, '127.0.0.1', resolve));
  network = await ShapedNetwork.open((sockets.address() as AddressInfo).port, lines);
  const { port } = network;
  return async () => {
    const socket = createConnection(port, '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
}

test('a line lets bytes go at its rate, shared by all connections, and a round trip takes its two delays', async () => {
  const up = new Line({ bitsPerSecond: 40e6, delayMs: 30 });
  const down = new Line({ bitsPerSecond: 40e6, delayMs: 20 });
  const connect = await behind((socket) => socket.on('data', (data) => socket.write(data.subarray(0, 1))), () => ({ up, down })); // prettier-ignore
  const near = await connect();
  // The shortest of several: others use this machine too, and can only make one longer.
  let roundTripMs = Number.POSITIVE_INFINITY;
  for (let times = 0; times < 15; times++) {
    const startedMs = performance.now();
    near.write('x');
    await once(near, 'data');
    roundTripMs = Math.min(roundTripMs, performance.now() - startedMs);
  }
  expect(roundTripMs).toBeGreaterThanOrEqual(50);
  expect(roundTripMs).toBeLessThan(65);
  // Two connections send 5 MB each over the same line: 2 s at 5 MB/s.
  up.reset();
  const sinceMs = performance.now();
  const both = [near, await connect()];
  for (const socket of both) {
    socket.resume();
    socket.write(new Uint8Array(5_000_000));
  }
  while (up.bytes < 10_000_000) await new Promise((resolve) => setTimeout(resolve, 5));
  const tookMs = performance.now() - sinceMs;
  // What waits in the line has been taken and has not left: at most 50 ms.
  expect(tookMs).toBeGreaterThan(2000 * 0.97 - 50);
  const bytesPerSecond = (1000 * up.bytes) / (up.lastMs - up.firstMs);
  expect(bytesPerSecond / 5e6).toBeGreaterThan(0.95);
  expect(bytesPerSecond / 5e6).toBeLessThan(1.02);
});

test('what is carried arrives whole and in order, with its end', async () => {
  const line = () => new Line({ bitsPerSecond: 200e6, delayMs: 5 });
  const up = line();
  const down = line();
  const connect = await behind((socket) => void socket.pipe(socket), () => ({ up, down })); // prettier-ignore
  const near = await connect();
  const sent = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7 + (index >> 8)) & 255);
  near.end(sent);
  const pieces: Buffer[] = [];
  for await (const piece of near) pieces.push(piece as Buffer);
  expect(Buffer.concat(pieces).length).toBe(sent.length);
  expect(Buffer.compare(Buffer.concat(pieces), sent)).toBe(0);
});

test('a sender is held up while its line is full, and holds no more than the line does', async () => {
  const up = new Line({ bitsPerSecond: 8e6, delayMs: 10 });
  const down = new Line({ bitsPerSecond: 8e6, delayMs: 10 });
  const connect = await behind((socket) => socket.resume(), () => ({ up, down })); // prettier-ignore
  const near = await connect();
  near.write(new Uint8Array(40_000_000));
  await new Promise((resolve) => setTimeout(resolve, 600));
  // 1 MB a second: half a second of it and the queue, but not the 40 MB; the rest waits in the sender.
  expect(up.bytes).toBeLessThan(1_000_000);
  expect(near.writableLength).toBeGreaterThan(20_000_000);
  near.destroy();
});

test('a cut ends connections at both ends, and others may follow', async () => {
  const line = new Line({ bitsPerSecond: 8e6, delayMs: 10 });
  const far: Promise<unknown>[] = [];
  const connect = await behind((socket) => {
    socket.resume();
    far.push(once(socket, 'close'));
  }, () => ({ up: line, down: line })); // prettier-ignore
  const near = await connect();
  near.write('hello');
  while (far.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const closed = once(near, 'close');
  network!.cut();
  await Promise.all([closed, ...far]);
  const again = await connect();
  expect(again.destroyed).toBe(false);
  again.destroy();
});
