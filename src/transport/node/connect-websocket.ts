// The site's end of a WebSocket.

import { WebSocket } from 'ws';
import { abortReason, ConfigError, TransportError } from '../../base/index.ts';
import type { Connection } from '../transport.ts';
import { channelBinding } from './channel-binding.ts';
import { cutOffBy, type Introduction } from './cut-off.ts';
import { isLoopbackAddress, requireLoopback } from './loopback.ts';
import { openSocket } from './open-socket.ts';
import { completeOptions, wsOptions, type WebSocketOptions } from './options.ts';
import { WebSocketConnection, connectFailed } from './websocket-connection.ts';

export interface ConnectOptions extends WebSocketOptions {
  readonly signal: AbortSignal;
  /** An HTTP proxy on the way (`proxyUrl`). Default: none. */
  readonly proxy: URL | undefined;
  /** This end's certificate, for a server that asks for one. Default: none. */
  readonly introduction: Introduction | undefined;
}

/**
 * Connects to a listener at `url`: `wss://HOST:PORT`, over TLS 1.3, where the peer is whoever it is until it proves more, or
 * `ws://127.0.0.1:PORT`. Payloads go out under a mask of zeros (docs/adr/0002-zero-mask.md).
 * Throws ConfigError for an address without TLS that is not this machine or options out of range, TransportError `connect-failed`,
 * `refused` when the listener turned it away, or, with an introduction, `cut-off` when the connection ended with the TLS handshake; rejects
 * with the signal's reason on abort.
 */
export async function connectWebSocket(url: string, options: Partial<ConnectOptions> = {}): Promise<Connection> {
  const { signal, proxy, introduction, ...rest } = options;
  const complete = completeOptions(rest);
  const { protocol, hostname, port } = webSocketUrl(url);
  const tls = protocol === 'wss:';
  if (!tls) requireLoopback(hostname);
  if (signal?.aborted) throw abortReason(signal);
  const startMs = performance.now();
  const socket = await openSocket({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port) || (tls ? 443 : 80),
    tls,
    certificate: introduction?.certificate,
    proxy,
    timeoutMs: complete.handshakeTimeoutMs,
    signal,
  });
  if (!tls && !isLoopbackAddress(socket.remoteAddress)) {
    socket.destroy();
    throw connectFailed(url, `${socket.remoteAddress} is not this machine`);
  }
  const cutOff = introduction && cutOffBy(url, socket, introduction);
  const webSocket = new WebSocket(url, {
    ...wsOptions(complete),
    createConnection: () => socket,
    followRedirects: false,
    generateMask: (mask) => mask.fill(0),
  });
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    const giveUp = (reason: Error): void => {
      failure ??= reason;
      webSocket.terminate();
    };
    const onAbort = (): void => giveUp(abortReason(signal!));
    // `ws` counts only from a connection that it opens itself.
    const leftMs = startMs + complete.handshakeTimeoutMs - performance.now();
    const timer = setTimeout(() => giveUp(connectFailed(url, 'no answer in time')), leftMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    webSocket.on('unexpected-response', (_request, answer) => {
      giveUp(new TransportError('refused', `${url} refused the connection: HTTP ${answer.statusCode}`));
    });
    webSocket.on('error', (error) => (failure ??= cutOff?.(error) ?? connectFailed(url, error)));
    webSocket.on('close', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      reject(failure ?? connectFailed(url, 'the connection closed during the handshake'));
    });
    webSocket.on('open', () => {
      try {
        channelBinding(socket, 'site');
      } catch (error) {
        return giveUp(connectFailed(url, error)); // It has gone already.
      }
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      webSocket.removeAllListeners();
      resolve(new WebSocketConnection(webSocket, socket, true, complete));
    });
  });
}

function webSocketUrl(url: string): URL {
  if (!URL.canParse(url)) throw new ConfigError('bad-usage', `"${url}" is not an address; expected ws://HOST:PORT`);
  const parsed = new URL(url);
  if (parsed.protocol !== 'ws:' && parsed.protocol !== 'wss:')
    throw new ConfigError(
      'bad-usage',
      `${url}: expected an address of the form wss://HOST:PORT or ws://127.0.0.1:PORT`,
    );
  return parsed;
}
