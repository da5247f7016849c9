// What a peer can do to a listener that speaks TLS before and after it does: lose its own connection, and nothing else.

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Connection } from '../../src/transport/index.ts';
import {
  connectWebSocket,
  listenWebSocket,
  makeCertificate,
  type WebSocketListener,
} from '../../src/transport/node/index.ts';
import { expectTransportError, filled } from './transport-suite.ts';

const identity = generateKeyPairSync('ed25519');
const certificate = () => makeCertificate(identity.privateKey, Date.now(), 3_600_000);
const frameBytesMax = 100_000;

describe('a listener that speaks TLS', () => {
  let listener: WebSocketListener;
  let refused: string[];
  let honest: Connection;
  let honestFar: Connection;
  let port: number;

  beforeEach(async () => {
    refused = [];
    listener = await listenWebSocket({
      tls: certificate(),
      onRefused: (_, { reason }) => refused.push(reason),
      frameBytesMax,
      handshakeTimeoutMs: 300,
      closeTimeoutMs: 200,
    });
    port = Number(new URL(listener.address).port);
    honest = await connectWebSocket(listener.address, { frameBytesMax });
    honestFar = (await listener.accept())!;
  });

  afterEach(async () => {
    await honest.send([filled(1000, 1)]);
    const received = await honestFar.receive();
    if (!received || Buffer.compare(received, filled(1000, 1)) !== 0) throw new Error('the honest connection suffered');
    await Promise.all([honest.close(), honestFar.close(), listener.close()]);
  });

  const tcp = (): Socket => connectTcp(port, '127.0.0.1').on('error', () => undefined);
  async function tls(): Promise<TLSSocket> {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    return socket;
  }
  const closed = (socket: Socket) => new Promise((resolve) => socket.resume().once('close', resolve));

  test('cuts one that says nothing, says it too slowly, or says no TLS', async () => {
    const slow = tcp();
    const dripping = setInterval(() => slow.write(Uint8Array.of(0x16)), 50);
    const garbage = tcp();
    garbage.write('GET / HTTP/1.1\r\n\r\n');
    await Promise.all([closed(tcp()), closed(slow), closed(garbage)]);
    clearInterval(dripping);
    expect(refused).toEqual([expect.stringContaining('http request'), expect.stringContaining('wrong version number')]);
  });

  test('cuts one that says nothing after the TLS handshake, or no end of headers', async () => {
    const [silent, endless] = [await tls(), await tls()];
    endless.write('GET / HTTP/1.1\r\nX: ');
    const dripping = setInterval(() => endless.write('x'), 50);
    await Promise.all([closed(silent), closed(endless)]);
    clearInterval(dripping);
    expect(refused).toEqual([]); // They did speak TLS; only the time was up.
  });

  test('takes no frame above the limit, and no more of a stranger than it may send', async () => {
    for (const bytes of [frameBytesMax + 1, 5000]) {
      const connection = await connectWebSocket(listener.address);
      const far = (await listener.accept())!;
      far.boundInbound(4096);
      await connection.send([new Uint8Array(bytes)]);
      await expectTransportError(far.receive(), 'too-large');
      await Promise.all([far.close(), connection.close()]);
    }
  });

  test('shows a certificate that its identity has signed, and another one when it is told to', async () => {
    const shown = async (): Promise<X509Certificate> => {
      const socket = await tls();
      const found = new X509Certificate(socket.getPeerCertificate().raw);
      expect(socket.getProtocol()).toBe('TLSv1.3');
      socket.destroy();
      return found;
    };
    const first = await shown();
    expect(first.verify(identity.publicKey)).toBe(true);
    expect(first.verify(generateKeyPairSync('ed25519').publicKey)).toBe(false);
    expect(Date.parse(first.validFrom)).toBeLessThan(Date.now());
    expect(Date.parse(first.validTo)).toBeGreaterThan(Date.now() + 3_000_000);
    listener.useCertificate(certificate());
    const second = await shown();
    expect(second.verify(identity.publicKey)).toBe(true);
    expect(second.fingerprint256).not.toBe(first.fingerprint256);
  });

  test('gives both ends the same binding, and every connection another', async () => {
    const connection = await connectWebSocket(listener.address);
    const far = (await listener.accept())!;
    expect(connection.binding).toHaveLength(64);
    expect(far.binding).toEqual(connection.binding);
    expect(honest.binding).toEqual(honestFar.binding);
    expect(honest.binding).not.toEqual(connection.binding);
    await Promise.all([far.close(), connection.close()]);
  });
});

test('a certificate from 2050 on has its dates in the form that RFC 5280 wants', () => {
  const late = new X509Certificate(makeCertificate(identity.privateKey, Date.UTC(2049, 11, 31), 3 * 86_400_000).cert);
  expect([late.validFrom, late.validTo].map((date) => new Date(date).toISOString())).toEqual([
    '2049-12-30T00:00:00.000Z',
    '2050-01-03T00:00:00.000Z',
  ]);
});
