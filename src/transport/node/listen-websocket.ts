// The server's end: an HTTP server that does nothing but turn requests into WebSockets.

import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { assert, ConfigError, messageOf } from '../../base/index.ts';
import { Inbox } from '../inbox.ts';
import type { Listener } from '../transport.ts';
import { Addresses, type AddressLimits, defaultAddressLimits, type TurnedAway, type Visit } from './addresses.ts';
import { askForCertificate, CertificateGuard, type Objection, type ShownCertificate } from './certificate-guard.ts';
import type { Certificate } from './certificate.ts';
import { requireLoopback } from './loopback.ts';
import { completeOptions, wholeNumbers, wsOptions, type WebSocketOptions } from './options.ts';
import { WebSocketConnection } from './websocket-connection.ts';

export interface ListenOptions extends WebSocketOptions, AddressLimits {
  /** Default 127.0.0.1; without `tls` only this machine's own addresses are allowed. */
  readonly host: string;
  /** 0 (default) takes a free port. */
  readonly port: number;
  /** Connections open at once; more are answered with HTTP 503. Default 1024. */
  readonly connectionsMax: number;
  /** Origins of browser pages that may connect; any other page is answered with HTTP 403. Default none. */
  readonly origins: readonly string[];
  /** Told when connections of an address are cut off at once, for their number: now and then, not each time. */
  readonly onTurnedAway: (event: TurnedAway) => void;
  /** With a certificate peers speak TLS 1.3, and nothing else. */
  readonly tls: Certificate;
  /**
   * With `tls`: a peer must show a certificate on an Ed25519 key in the handshake, and this says why one that does may still not come in. It
   * is asked before HTTP hears of the connection, must not throw, and need not look at names or dates. Default: no certificate is asked for.
   */
  readonly objectionTo: (shown: ShownCertificate) => Objection | undefined;
  /** Told of a peer that does not get as far as a connection: `no-tls`, because it does not speak this TLS, `no-certificate`, or what was objected. */
  readonly onRefused: (remote: string, refused: Objection) => void;
  /** Whether an IP address is heard at all; a connection from another is cut before anything is read of it. Default: all are. */
  readonly hears: (address: string) => boolean;
}

/** A listener whose certificate can be another one for connections to come; those that stand go on. */
export interface WebSocketListener extends Listener {
  useCertificate(certificate: Certificate): void;
}

/** TCP connections that may be in their handshake, or be told that there is no room, beside those that are open. */
const handshakesMax = 1024;

/**
 * Listens for WebSockets. A peer that breaks WebSocket's rules, the limits, or the handshake's time loses its own connection and
 * nothing else. Throws ConfigError for a host that is not this machine, options out of range, or an address in use.
 */
export async function listenWebSocket(options: Partial<ListenOptions> = {}): Promise<WebSocketListener> {
  const { host = '127.0.0.1', port = 0, connectionsMax = 1024, origins = [], tls, hears, objectionTo } = options;
  const { onTurnedAway = () => {}, onRefused = () => {} } = options;
  const complete = completeOptions(options);
  const addressLimits = wholeNumbers(defaultAddressLimits, options);
  if (!tls) requireLoopback(host);
  const limits = {
    headersTimeout: complete.handshakeTimeoutMs,
    requestTimeout: complete.handshakeTimeoutMs,
    connectionsCheckingInterval: Math.min(complete.handshakeTimeoutMs, 1000),
    maxHeaderSize: 16_384,
  };
  const guard = objectionTo && new CertificateGuard(objectionTo, onRefused);
  const secure =
    tls &&
    createSecureServer({
      ...limits,
      ...tlsOf(tls),
      ...(guard && askForCertificate),
      handshakeTimeout: complete.handshakeTimeoutMs,
    });
  secure?.on('tlsClientError', (error, socket) => {
    const { remoteAddress, remotePort } = socket;
    socket.destroy();
    // There is nothing to tell of one that was not heard, and of one whose time was up Node does not say who it was.
    if (remoteAddress === undefined || hears?.(remoteAddress) === false) return;
    const reason = `no TLS 1.3 connection: ${messageOf(error)}`;
    onRefused(`${remoteAddress}:${remotePort}`, { code: 'no-tls', reason });
  });
  const http = secure ?? createServer(limits);
  const upgrader = new WebSocketServer({ ...wsOptions(complete), noServer: true, clientTracking: false });
  // What comes before somebody accepts the connection stays in the socket: the bound for strangers is not set yet.
  const arrived = new Inbox<WebSocketConnection>((connection) => setImmediate(() => connection.resume()));
  const addresses = new Addresses(addressLimits, onTurnedAway, () => performance.now());
  const visits = new Map<string, Visit>();
  let openCount = 0;

  // HTTP reads a connection as it begins: it gets those that may come in, and what they send in morsels.
  const begins = secure ? 'secureConnection' : 'connection';
  const [serveHttp] = http.listeners(begins) as ((socket: Socket) => void)[];
  assert(serveHttp, 'HTTP listens to connections that begin');
  const morsels = new Morsels();
  http.removeListener(begins, serveHttp);
  http.on(begins, (socket: Socket) => {
    if (guard && !guard.admits(socket as TLSSocket)) return;
    serveHttp.call(http, socket);
    morsels.feed(socket);
  });
  // Before a byte is read or answered, so that a flood costs next to nothing.
  http.prependListener('connection', (socket: Socket) => {
    const visit =
      hears?.(socket.remoteAddress ?? '') === false ? undefined : addresses.enter(socket.remoteAddress ?? '');
    if (!visit) return socket.destroy();
    const place = placeOf(socket);
    visits.set(place, visit);
    socket.once('close', () => {
      visit.leave();
      visits.delete(place);
    });
  });
  http.on('request', ({ socket }, response) => {
    // Of requests that came along with others only the first is answered: answers would wait in memory.
    if (socket.destroyed) return;
    response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
    socket.destroy();
  });
  http.on('clientError', (_error, socket) => socket.destroy());
  http.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    morsels.stop(stream);
    const { origin } = request.headers;
    if (origin !== undefined && !origins.includes(origin)) return refuse(stream, '403 Forbidden');
    if (openCount >= connectionsMax) return refuse(stream, '503 Service Unavailable');
    openCount += 1;
    stream.once('close', () => (openCount -= 1));
    stream.once('error', () => stream.destroy());
    upgrader.handleUpgrade(request, stream, head, (webSocket) => {
      try {
        // An HTTP server that listens on TCP gives TCP sockets.
        const socket = stream as Socket;
        const peer = { onKnown: visits.get(placeOf(socket))?.known, key: guard?.keyOf(stream) };
        const connection = new WebSocketConnection(webSocket, socket, false, complete, peer);
        connection.pause();
        arrived.put(connection);
      } catch {
        stream.destroy(); // The TLS connection has gone already.
      }
    });
  });
  const scheme = secure ? 'wss' : 'ws';
  http.maxConnections = connectionsMax + handshakesMax;
  const address = `${scheme}://${await listen(http, host, port)}`;
  // An accept that fails, for want of file handles perhaps, costs that one peer; the listener goes on.
  http.on('error', () => {});

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= closeAll());
  const closeAll = async (): Promise<void> => {
    http.close();
    http.closeAllConnections();
    await Promise.all(arrived.clear().map((connection) => connection.close('the listener closed')));
  };
  return {
    address,
    accept: (signal) => arrived.take(signal),
    useCertificate: (certificate) =>
      secure?.setSecureContext({ ...tlsOf(certificate), ...(guard && askForCertificate) }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The quickest first: tensors are large, and a step waits for them. */
const cipherSuites = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

function tlsOf({ cert, key }: Certificate): SecureContextOptions {
  return { cert, key, minVersion: 'TLSv1.3', ciphers: cipherSuites, honorCipherOrder: true };
}

function listen(http: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    http.once('error', (error) =>
      reject(new ConfigError('bad-usage', `cannot listen on ${host}:${port}: ${messageOf(error)}`, { cause: error })),
    );
    http.listen(port, host.replace(/^\[(.*)\]$/, '$1'), () => {
      const bound = http.address() as AddressInfo;
      resolve(`${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`);
    });
  });
}

/** Tells a connection of this machine's port from all others. */
function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function refuse(stream: Duplex, status: string): void {
  stream.on('error', () => stream.destroy());
  stream.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => stream.destroy());
}

/** Bytes that HTTP is given at once. */
const morselBytes = 512;

/**
 * Gives HTTP what peers send in morsels. It would parse a whole read, thousands of small requests, before it hears that the connection is
 * not served any more after the first, and many peers' requests would lie in memory at the same time.
 */
class Morsels {
  readonly #listeners = new WeakMap<Duplex, (bytes: Buffer) => void>();

  feed(socket: Socket): void {
    const [parse] = socket.listeners('data') as ((bytes: Buffer) => void)[];
    assert(parse, 'HTTP listens to its connections');
    socket.removeListener('data', parse);
    const listener = (bytes: Buffer): void => {
      for (let from = 0; from < bytes.length && !socket.destroyed; from += morselBytes) {
        // Who speaks on before the answer to its upgrade does not speak WebSocket.
        if (this.#listeners.get(socket) !== listener) return void socket.destroy();
        parse(bytes.subarray(from, from + morselBytes));
      }
    };
    this.#listeners.set(socket, listener);
    socket.on('data', listener);
  }

  /** From here on HTTP has nothing to do with the connection. */
  stop(stream: Duplex): void {
    const listener = this.#listeners.get(stream);
    this.#listeners.delete(stream);
    if (listener) stream.removeListener('data', listener);
  }
}
