// The site's end of a WebSocket.

import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { abortReason, ConfigError, TransportError } from '../../base/index.ts';
import type { Connection } from '../transport.ts';
import { isLoopbackAddress, requireLoopback } from './loopback.ts';
import { completeOptions, wsOptions, type WebSocketOptions } from './options.ts';
import { WebSocketConnection, connectFailed } from './websocket-connection.ts';

/**
 * Connects to a listener at `url` (`ws://127.0.0.1:PORT`). Payloads go out under a mask of zeros (docs/adr/0002-zero-mask.md).
 * Throws ConfigError for an address that is not this machine or options out of range, TransportError `connect-failed`, or
 * `refused` when the listener turned it away; rejects with the signal's reason on abort.
 */
export async function connectWebSocket(
  url: string,
  options: Partial<WebSocketOptions> & { readonly signal?: AbortSignal } = {},
): Promise<Connection> {
  const { signal, ...rest } = options;
  const complete = completeOptions(rest);
  requireLoopback(webSocketUrl(url).hostname);
  if (signal?.aborted) throw abortReason(signal);
  const webSocket = new WebSocket(url, {
    ...wsOptions(complete),
    handshakeTimeout: complete.handshakeTimeoutMs,
    followRedirects: false,
    generateMask: (mask) => mask.fill(0),
  });
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    let response: IncomingMessage | undefined;
    const giveUp = (reason: Error): void => {
      failure ??= reason;
      webSocket.terminate();
    };
    const onAbort = (): void => giveUp(abortReason(signal!));
    signal?.addEventListener('abort', onAbort, { once: true });
    webSocket.on('upgrade', (upgrade) => (response = upgrade));
    webSocket.on('unexpected-response', (_request, answer) => {
      giveUp(new TransportError('refused', `${url} refused the connection: HTTP ${answer.statusCode}`));
    });
    webSocket.on('error', (error) => (failure ??= connectFailed(url, error)));
    webSocket.on('close', () => {
      signal?.removeEventListener('abort', onAbort);
      reject(failure ?? connectFailed(url, 'the connection closed during the handshake'));
    });
    webSocket.on('open', () => {
      const socket = response?.socket;
      if (!socket || !isLoopbackAddress(socket.remoteAddress)) {
        return giveUp(connectFailed(url, `${socket?.remoteAddress} is not this machine`));
      }
      signal?.removeEventListener('abort', onAbort);
      webSocket.removeAllListeners();
      resolve(new WebSocketConnection(webSocket, socket, true, complete));
    });
  });
}

function webSocketUrl(url: string): URL {
  if (!URL.canParse(url)) throw new ConfigError('bad-usage', `"${url}" is not an address; expected ws://HOST:PORT`);
  const parsed = new URL(url);
  if (parsed.protocol !== 'ws:')
    throw new ConfigError('bad-usage', `${url}: expected an address of the form ws://HOST:PORT`);
  return parsed;
}
