// The site's way to the server: straight or through an HTTP proxy (CONNECT, RFC 9110, section 9.3.6), and TLS over it.
//
// No authority's certificate counts: who the server is, its identity key proves over this very connection (protocol/proof.ts).

import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { abortReason, ConfigError, TransportError } from '../../base/index.ts';
import type { Certificate } from './certificate.ts';

export interface Way {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** What this end shows a server that asks for a certificate; the others do not see it. */
  readonly certificate: Certificate | undefined;
  /** `http://[USER:PASSWORD@]HOST:PORT`; undefined: straight. */
  readonly proxy: URL | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** An open socket, TLS 1.3 where asked for. Rejects with TransportError `connect-failed` or the signal's reason; the words say nothing of a password. */
export async function openSocket(way: Way): Promise<Socket> {
  const { host, port, tls, certificate, proxy } = way;
  const plain = proxy ? await throughProxy(way, proxy) : await ready(way, connect({ host, port }), 'connect');
  if (!tls) return plain;
  const secure = connectTls({ socket: plain, host, minVersion: 'TLSv1.3', rejectUnauthorized: false, ...certificate });
  return ready(way, secure, 'secureConnect');
}

/** A proxy's address. Throws ConfigError without quoting it, because it may hold a password. */
export function proxyUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isProxy =
    url?.protocol === 'http:' && url.hostname !== '' && !/%(?![0-9a-f]{2})/i.test(url.username + url.password);
  if (!isProxy) throw new ConfigError('bad-usage', 'the proxy’s address: expected http://HOST:PORT');
  return url;
}

/** What a proxy may answer before it passes bytes on. */
const proxyAnswerBytesMax = 16_384;

function throughProxy({ host, port, timeoutMs, signal }: Way, proxy: URL): Promise<Socket> {
  const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const told = `${target} through the proxy ${proxy.host}`;
  return new Promise((resolve, reject) => {
    const asking = request({
      host: proxy.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: proxy.port === '' ? 80 : proxy.port,
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...credentials(proxy) },
      timeout: timeoutMs,
      maxHeaderSize: proxyAnswerBytesMax,
      agent: false,
    });
    const giveUp = (error: Error): void => {
      signal?.removeEventListener('abort', onAbort);
      asking.destroy();
      reject(error);
    };
    const onAbort = (): void => giveUp(abortReason(signal!));
    signal?.addEventListener('abort', onAbort, { once: true });
    asking.on('connect', ({ statusCode = 0 }, socket, head) => {
      socket.on('error', () => undefined);
      if (statusCode !== 200 || head.length > 0) {
        socket.destroy();
        const why = statusCode === 200 ? 'it speaks before this site does' : `it answers HTTP ${statusCode}`;
        return giveUp(failed(told, why));
      }
      signal?.removeEventListener('abort', onAbort);
      resolve(socket);
    });
    asking.on('response', ({ statusCode }) => giveUp(failed(told, `it answers HTTP ${statusCode}`)));
    asking.on('timeout', () => giveUp(failed(told, `no answer within ${timeoutMs} ms`)));
    asking.on('error', (error) => giveUp(failed(told, error.message)));
    asking.end();
  });
}

function credentials({ username, password }: URL): Record<string, string> {
  if (username === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** Waits for `event`. An error of the socket after that is for its user to see, and must not end the process before it has one. */
function ready({ host, port, timeoutMs, signal }: Way, socket: Socket, event: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off(event, onReady).off('error', onError).off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    };
    const giveUp = (error: Error): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onReady = (): void => {
      settle();
      resolve(socket);
    };
    const onError = (error: Error): void => giveUp(failed(`${host}:${port}`, error.message));
    const onClose = (): void => giveUp(failed(`${host}:${port}`, 'the connection closed during the handshake'));
    const onAbort = (): void => giveUp(abortReason(signal!));
    const timer = setTimeout(
      () => giveUp(failed(`${host}:${port}`, `no connection within ${timeoutMs} ms`)),
      timeoutMs,
    );
    socket.on('error', () => undefined);
    socket.on(event, onReady).on('error', onError).on('close', onClose);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function failed(where: string, why: string): TransportError {
  return new TransportError('connect-failed', `cannot connect to ${where}: ${why}`);
}
