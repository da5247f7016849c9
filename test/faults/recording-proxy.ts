// A listener on the wire: TCP connections pass through here, and every byte that passes is kept.

import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

export class RecordingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: number;
  /** The pieces of each direction of each connection, in order. */
  readonly #streams: Buffer[][] = [];
  readonly url: string;

  private constructor(server: Server, targetUrl: string) {
    this.#server = server;
    this.#port = Number(new URL(targetUrl).port);
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#join(socket));
  }

  static async open(targetUrl: string): Promise<RecordingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new RecordingProxy(server, targetUrl);
  }

  /** What passed, each direction of each connection in one piece. */
  get streams(): readonly Buffer[] {
    return this.#streams.map((pieces) => Buffer.concat(pieces));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(near: Socket): void {
    const far = createConnection(this.#port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const pieces: Buffer[] = [];
      this.#streams.push(pieces);
      this.#sockets.add(from);
      from.on('data', (data) => {
        pieces.push(data);
        to.write(data);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.end();
      });
    }
  }
}
