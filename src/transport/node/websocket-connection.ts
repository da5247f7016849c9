// A Connection over an open WebSocket of `ws`. `ws` parses what comes in, answers pings and closes; frames go out past its Sender
// (see websocket-frame.ts), which is safe because without compression it writes to the socket in the same order as it is called.
//
// Half-open connections: each end pings on its own clock, whether it reads or not. An end that reads and hears nothing for three
// heartbeats cuts the connection. A peer that is merely slow to read still pings, so it is not taken for dead.

import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { TransportError, messageOf } from '../../base/index.ts';
import { frameBytes, joinFrame } from '../frame.ts';
import { Inbox } from '../inbox.ts';
import { SendGate } from '../send-gate.ts';
import type { Connection } from '../transport.ts';
import { channelBinding } from './channel-binding.ts';
import type { WebSocketOptions } from './options.ts';
import { binaryMessageHeader } from './websocket-frame.ts';

const missedHeartbeatsMax = 3;
const lingerMs = 1000;
/** To copy the parts of a frame of this size takes less time than to write them one by one. */
const joinedBytesMax = 16 << 10;
const orderlyCodes: ReadonlySet<number> = new Set([1000, 1001, 1005]);

/** What a listener knows of a peer, and is to hear. */
export interface Peer {
  /** Called when the bound for strangers is lifted. */
  readonly onKnown?: (() => void) | undefined;
  /** The key of the certificate that the peer has shown. */
  readonly key?: Uint8Array | undefined;
}

export class WebSocketConnection implements Connection {
  readonly id = randomUUID();
  readonly remote: string;
  readonly binding: Uint8Array | undefined;
  readonly certifiedKey: Uint8Array | undefined;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #masked: boolean;
  readonly #options: WebSocketOptions;
  readonly #onKnown: () => void;
  readonly #gate: SendGate;
  readonly #inbox = new Inbox<Uint8Array<ArrayBuffer>>((frame) => this.#taken(frame));
  readonly #heartbeat: NodeJS.Timeout;
  readonly #gone: Promise<void>;
  #backlogBytes = 0;
  #bytesReadBefore = 0;
  #missedHeartbeats = 0;
  #closing = false;
  #inboundLeft = Number.POSITIVE_INFINITY;
  readonly #count = (chunk: Buffer): void => this.#counted(chunk.byteLength);
  #failure: TransportError | undefined;

  /** Takes over an open `webSocket` and the socket under it. `masked` says that this end is the client. */
  constructor(webSocket: WebSocket, socket: Socket, masked: boolean, options: WebSocketOptions, peer: Peer = {}) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#masked = masked;
    this.#options = options;
    this.#onKnown = peer.onKnown ?? (() => {});
    this.certifiedKey = peer.key;
    this.#gate = new SendGate(options);
    this.binding = channelBinding(socket, masked ? 'site' : 'server');
    this.remote = `${socket.remoteAddress}:${socket.remotePort}`;
    webSocket.on('message', (data: Buffer<ArrayBuffer>, isBinary) => this.#arrived(data, isBinary));
    webSocket.on('error', (error: Error & { code?: string }) => {
      const code = error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' ? 'too-large' : 'closed';
      this.#failure ??= new TransportError(code, `${this.remote}: ${error.message}`, { cause: error });
    });
    this.#gone = new Promise((resolve) => {
      webSocket.on('close', (code, reason) => {
        this.#ended(code, reason.toString());
        resolve();
      });
    });
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs);
    this.#heartbeat.unref();
  }

  async send(frame: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const bytes = frameBytes(frame, this.#options.frameBytesMax);
    await this.#gate.enter(bytes, () => this.#write(frame, bytes), signal);
  }

  trySend(frame: readonly Uint8Array[]): boolean {
    const bytes = frameBytes(frame, this.#options.frameBytesMax);
    return this.#gate.tryEnter(bytes, () => this.#write(frame, bytes));
  }

  receive(signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#inbox.take(signal);
  }

  /** Reads nothing more until `resume`. */
  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    if (this.#inboundLeft >= 0 && !this.#backlogIsFull()) this.#webSocket.resume();
  }

  boundInbound(bytesMax: number | undefined): void {
    if (this.#inboundLeft < 0) return;
    this.#socket.off('data', this.#count);
    this.#inboundLeft = bytesMax ?? Number.POSITIVE_INFINITY;
    // Before `ws` hears of the bytes: it would keep them until their frame is whole. A listener put first does not make the socket flow.
    if (bytesMax !== undefined) this.#socket.prependListener('data', this.#count);
    else this.#onKnown();
  }

  close(reason = ''): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#gate.close(new TransportError('closed', `${this.remote}: this end closed the connection`));
      this.#inbox.clear();
      if (this.#inboundLeft >= 0) this.#webSocket.resume();
      this.#webSocket.close(1000, shorten(reason));
      if (this.#inboundLeft < 0) this.#endUnheard();
    }
    return this.#gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #write(frame: readonly Uint8Array[], bytes: number): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN)
      throw new TransportError('closed', `${this.remote}: the connection is closing`);
    this.bytesSent += bytes;
    const socket = this.#socket;
    const header = binaryMessageHeader(bytes, this.#masked);
    const left = (): void => this.#gate.leave(bytes);
    if (bytes <= joinedBytesMax) {
      socket.write(joinFrame([header, ...frame], header.byteLength + bytes), left);
      return;
    }
    socket.cork();
    socket.write(header);
    for (const part of frame) if (part.byteLength > 0) socket.write(part);
    // An empty write marks the end of the frame's bytes: its callback comes when all of them have left.
    socket.write('', left);
    socket.uncork();
  }

  #counted(bytes: number): void {
    this.#inboundLeft -= bytes;
    if (this.#inboundLeft >= 0) return;
    this.#inbox.end(new TransportError('too-large', `${this.remote} sent more than it may before it is known`));
    // `ws` hears no more either, and nothing more is read: the peer's next bytes stay at the peer.
    this.#socket.removeAllListeners('data').pause();
  }

  /** The answer of a peer that is heard no more does not arrive. It has a while to read what it was told before the connection is cut. */
  #endUnheard(): void {
    this.#socket.end(() => {
      setTimeout(() => this.#socket.destroy(), Math.min(lingerMs, this.#options.closeTimeoutMs)).unref();
    });
  }

  #arrived(data: Buffer<ArrayBuffer>, isBinary: boolean): void {
    if (this.#closing || this.#failure) return;
    if (!isBinary) {
      this.#failure = new TransportError('closed', `${this.remote} sent text, but frames are binary`);
      this.#webSocket.close(1003, 'binary frames only');
      return;
    }
    const frame = alignedFrame(data);
    this.bytesReceived += frame.byteLength;
    this.#backlogBytes += frame.byteLength;
    this.#inbox.put(frame);
    if (this.#backlogIsFull()) this.#webSocket.pause();
  }

  #taken(frame: Uint8Array): void {
    this.#backlogBytes -= frame.byteLength;
    if (!this.#webSocket.isPaused || this.#backlogIsFull()) return;
    this.#missedHeartbeats = 0;
    this.#webSocket.resume();
  }

  #backlogIsFull(): boolean {
    const { backlogBytesMax, backlogFramesMax } = this.#options;
    return this.#backlogBytes >= backlogBytesMax || this.#inbox.count >= backlogFramesMax;
  }

  #beat(): void {
    const { bytesRead, writableNeedDrain } = this.#socket;
    const silent = bytesRead === this.#bytesReadBefore && !this.#webSocket.isPaused;
    this.#bytesReadBefore = bytesRead;
    this.#missedHeartbeats = silent ? this.#missedHeartbeats + 1 : 0;
    if (this.#missedHeartbeats >= missedHeartbeatsMax) {
      const silentMs = this.#missedHeartbeats * this.#options.heartbeatMs;
      this.#failure ??= new TransportError('closed', `${this.remote}: nothing was heard for ${silentMs} ms`);
      this.#webSocket.terminate();
    } else if (!writableNeedDrain && this.#webSocket.readyState === WebSocket.OPEN) {
      // While the socket is full the peer has bytes of ours to read and needs no ping.
      this.#webSocket.ping();
    }
  }

  #ended(code: number, reason: string): void {
    clearInterval(this.#heartbeat);
    const told = reason === '' ? '' : `, ${printable(reason)}`;
    const error =
      this.#failure ?? new TransportError('closed', `${this.remote}: the connection ended (${code}${told})`);
    this.#gate.close(error);
    if (!this.#failure && orderlyCodes.has(code)) this.#inbox.end();
    else this.#inbox.end(error);
  }
}

/** The message itself when it fills an aligned buffer of its own, as large ones do; else a copy, so that no shared read buffer is kept. */
function alignedFrame(data: Buffer<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = data;
  if (byteOffset === 0 && byteLength === buffer.byteLength) return new Uint8Array(buffer);
  return new Uint8Array(data);
}

/** At most 123 bytes, which is what a close message can carry. */
function shorten(reason: string): string {
  return printable(reason).slice(0, 123);
}

/** Only printable ASCII: a peer's words end in messages and logs. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

/** Wraps what went wrong before a connection stood. */
export function connectFailed(address: string, error: unknown): TransportError {
  return new TransportError('connect-failed', `cannot connect to ${address}: ${messageOf(error)}`, { cause: error });
}
