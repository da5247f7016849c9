// A peer that speaks to a listener byte by byte: over TCP, before or after it has become a WebSocket, as no client library would.

import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

const handshake =
  'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';

export class RawPeer {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #received = Buffer.alloc(0);
  #told: () => void = () => undefined;
  /** Bytes that the socket has taken. */
  bytesSent = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      this.#received = Buffer.concat([this.#received, data]);
      this.#told();
    });
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** A TCP connection that has said nothing. */
  static async open(url: string): Promise<RawPeer> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const peer = new RawPeer(socket);
    await Promise.race([once(socket, 'connect'), peer.#closed]);
    return peer;
  }

  /** One that is a WebSocket. `headers` are more of the request's. */
  static async upgraded(url: string, headers = ''): Promise<RawPeer> {
    const peer = await RawPeer.open(url);
    peer.write(`${handshake}${headers}\r\n`);
    await peer.answer('\r\n\r\n');
    return peer;
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Everything that came. */
  get received(): Buffer {
    return this.#received;
  }

  write(bytes: string | Uint8Array): boolean {
    if (this.#socket.destroyed) return false;
    this.bytesSent += bytes.length;
    return this.#socket.write(bytes);
  }

  /** Resolves when what came has `text` in it, or nothing more comes. */
  async answer(text: string): Promise<void> {
    let over = false;
    void this.#closed.then(() => {
      over = true;
      this.#told();
    });
    while (!over && !this.#received.includes(text))
      await new Promise<void>((resolve) => {
        this.#told = resolve;
      });
  }

  /** Writes `piece` again and again, with a pause, until the connection is closed. */
  async dribble(piece: string | Uint8Array, everyMs: number): Promise<void> {
    const writing = setInterval(() => this.write(piece), everyMs);
    await this.#closed;
    clearInterval(writing);
  }

  /** Writes `piece` as fast as the peer takes it, until the connection is closed or `bytesMost` are written. */
  async pour(piece: string | Uint8Array, bytesMost: number): Promise<void> {
    let over = false;
    void this.#closed.then(() => (over = true));
    while (!over && this.bytesSent < bytesMost)
      if (!this.write(piece)) await Promise.race([once(this.#socket, 'drain').catch(() => undefined), this.#closed]);
  }

  closed(): Promise<void> {
    return this.#closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** The beginning of a binary message or fragment of `bytes`, under a mask of zeros. `first` is its first byte: fin and opcode. */
export function frameStart(bytes: number, first = 0x82): Uint8Array {
  const start = Buffer.alloc(14);
  start[0] = first;
  start[1] = 0xff;
  start.writeBigUInt64BE(BigInt(bytes), 2);
  return start;
}

/** A whole binary message. */
export function wholeFrame(content: Uint8Array, first = 0x82): Uint8Array {
  return Buffer.concat([frameStart(content.length, first), content]);
}
