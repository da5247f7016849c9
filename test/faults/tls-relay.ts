// Somebody in between who opens TLS: he has a certificate of his own for either side, and passes on what he reads.

import { generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { type Certificate, makeCertificate } from '../../src/transport/node/index.ts';

export class TlsRelay {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `shown` is what the server sees of him, if it asks; he asks a site for its certificate too. */
  static async open(serverUrl: string, shown: Partial<Certificate> = {}): Promise<TlsRelay> {
    const port = Number(new URL(serverUrl).port);
    const own = makeCertificate(generateKeyPairSync('ed25519').privateKey, Date.now(), 3_600_000);
    const server = createServer({ ...own, requestCert: true, rejectUnauthorized: false });
    const relay = new TlsRelay(server);
    server.on('secureConnection', (near) => {
      const far = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...shown });
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) {
        relay.#sockets.add(socket);
        socket.on('error', () => [near, far].forEach((end) => end.destroy()));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get url(): string {
    return `wss://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
