// A bad network: TCP connections that pass through here are cut in the middle of whatever they carry, after a seeded number of bytes.

import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Dice } from './mutations.ts';

/** Bytes after which a connection is cut: from enough for a handshake and a message or two, to many steps. */
const bytesLeast = 2_500;
const bytesMost = 40_000;

export class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: number;
  readonly #dice: Dice;
  readonly url: string;
  /** Connections that were cut. */
  cuts = 0;
  /** Whether connections are cut; else they only pass. */
  cutting = true;

  private constructor(server: Server, targetUrl: string, dice: Dice) {
    this.#server = server;
    this.#port = Number(new URL(targetUrl).port);
    this.#dice = dice;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#join(socket));
  }

  static async open(targetUrl: string, dice: Dice): Promise<CuttingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new CuttingProxy(server, targetUrl, dice);
  }

  /** Cuts everything, and lets nobody in any more. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(near: Socket): void {
    const far = createConnection(this.#port, '127.0.0.1');
    let left = Math.round(bytesLeast * (bytesMost / bytesLeast) ** this.#dice.uniform());
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    const pass = (to: Socket) => (data: Buffer) => {
      const passing = this.cutting ? data.subarray(0, left) : data;
      to.write(passing);
      left -= passing.length;
      if (!this.cutting || left > 0) return;
      this.cuts += 1;
      // What was passed arrives; then the connection is reset.
      to.end(end);
    };
    near.on('data', pass(far));
    far.on('data', pass(near));
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
  }
}
