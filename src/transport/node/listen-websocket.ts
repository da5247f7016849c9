// The server's end: an HTTP server that does nothing but turn requests into WebSockets.

import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ConfigError, messageOf } from '../../base/index.ts';
import { Inbox } from '../inbox.ts';
import type { Listener } from '../transport.ts';
import { Addresses, type AddressLimits, defaultAddressLimits, type TurnedAway, type Visit } from './addresses.ts';
import { requireLoopback } from './loopback.ts';
import { completeOptions, wholeNumbers, wsOptions, type WebSocketOptions } from './options.ts';
import { WebSocketConnection } from './websocket-connection.ts';

export interface ListenOptions extends WebSocketOptions, AddressLimits {
  /** Default 127.0.0.1; only this machine's own addresses are allowed. */
  readonly host: string;
  /** 0 (default) takes a free port. */
  readonly port: number;
  /** Connections open at once; more are answered with HTTP 503. Default 1024. */
  readonly connectionsMax: number;
  /** Origins of browser pages that may connect; any other page is answered with HTTP 403. Default none. */
  readonly origins: readonly string[];
  /** Told when connections of an address are cut off at once, for their number: now and then, not each time. */
  readonly onTurnedAway: (event: TurnedAway) => void;
}

/** TCP connections that may be in their handshake, or be told that there is no room, beside those that are open. */
const handshakesMax = 1024;

/**
 * Listens for WebSockets. A peer that breaks WebSocket's rules, the limits, or the handshake's time loses its own connection and
 * nothing else. Throws ConfigError for a host that is not this machine, options out of range, or an address in use.
 */
export async function listenWebSocket(options: Partial<ListenOptions> = {}): Promise<Listener> {
  const { host = '127.0.0.1', port = 0, connectionsMax = 1024, origins = [], onTurnedAway = () => {} } = options;
  const complete = completeOptions(options);
  const addressLimits = wholeNumbers(defaultAddressLimits, options);
  requireLoopback(host);
  const http = createServer({
    headersTimeout: complete.handshakeTimeoutMs,
    requestTimeout: complete.handshakeTimeoutMs,
    connectionsCheckingInterval: Math.min(complete.handshakeTimeoutMs, 1000),
    maxHeaderSize: 16_384,
  });
  const upgrader = new WebSocketServer({ ...wsOptions(complete), noServer: true, clientTracking: false });
  // What comes before somebody accepts the connection stays in the socket: the bound for strangers is not set yet.
  const arrived = new Inbox<WebSocketConnection>((connection) => setImmediate(() => connection.resume()));
  const addresses = new Addresses(addressLimits, onTurnedAway, () => performance.now());
  const visits = new Map<string, Visit>();
  let openCount = 0;

  // Before a byte is read or answered, so that a flood costs next to nothing.
  http.on('connection', (socket: Socket) => {
    const visit = addresses.enter(socket.remoteAddress ?? '');
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
    const { origin } = request.headers;
    if (origin !== undefined && !origins.includes(origin)) return refuse(stream, '403 Forbidden');
    if (openCount >= connectionsMax) return refuse(stream, '503 Service Unavailable');
    openCount += 1;
    stream.once('close', () => (openCount -= 1));
    stream.once('error', () => stream.destroy());
    upgrader.handleUpgrade(request, stream, head, (webSocket) => {
      // An HTTP server that listens on TCP gives TCP sockets.
      const socket = stream as Socket;
      const onKnown = visits.get(placeOf(socket))?.known;
      const connection = new WebSocketConnection(webSocket, socket, false, complete, onKnown);
      connection.pause();
      arrived.put(connection);
    });
  });
  http.maxConnections = connectionsMax + handshakesMax;
  const address = await listen(http, host, port);
  // An accept that fails, for want of file handles perhaps, costs that one peer; the listener goes on.
  http.on('error', () => {});

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= closeAll());
  const closeAll = async (): Promise<void> => {
    http.close();
    http.closeAllConnections();
    await Promise.all(arrived.clear().map((connection) => connection.close('the listener closed')));
  };
  return { address, accept: (signal) => arrived.take(signal), close, [Symbol.asyncDispose]: close };
}

function listen(http: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    http.once('error', (error) =>
      reject(new ConfigError('bad-usage', `cannot listen on ${host}:${port}: ${messageOf(error)}`, { cause: error })),
    );
    http.listen(port, host.replace(/^\[(.*)\]$/, '$1'), () => {
      const bound = http.address() as AddressInfo;
      resolve(`ws://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`);
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
