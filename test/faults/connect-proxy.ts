// A real HTTP proxy that knows CONNECT and nothing else, and asks for a password.

import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export class ConnectProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** With name and password. */
  readonly url: string;
  /** Where it has connected to. */
  readonly targets: string[] = [];
  /** Requests that it has turned away. */
  refused = 0;

  private constructor(server: Server, password: string) {
    this.#server = server;
    const { port } = server.address() as AddressInfo;
    this.url = `http://septum:${encodeURIComponent(password)}@127.0.0.1:${port}`;
    const expected = `Basic ${Buffer.from(`septum:${password}`).toString('base64')}`;
    server.on('connect', ({ url = '', headers }, near: Socket, head: Buffer) => {
      near.on('error', () => near.destroy());
      if (headers['proxy-authorization'] !== expected) {
        this.refused += 1;
        near.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      this.targets.push(url);
      const { hostname, port: targetPort } = new URL(`http://${url}`);
      const far = connect(Number(targetPort), hostname, () => {
        near.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        if (head.length > 0) far.write(head);
        near.pipe(far).pipe(near);
      });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          near.destroy();
          far.destroy();
        });
      }
    });
  }

  static async open(password: string): Promise<ConnectProxy> {
    const server = createServer((_, response) => response.writeHead(405).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new ConnectProxy(server, password);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
