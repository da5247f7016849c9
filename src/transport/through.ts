// A connection that passes everything on to another, but for how frames are sent and received.

import type { Connection } from './transport.ts';

/** The same connection with its own `send` and `receive`. */
export function throughConnection(connection: Connection, own: Pick<Connection, 'send' | 'receive'>): Connection {
  return {
    id: connection.id,
    remote: connection.remote,
    binding: connection.binding,
    certifiedKey: connection.certifiedKey,
    get bytesSent() {
      return connection.bytesSent;
    },
    get bytesReceived() {
      return connection.bytesReceived;
    },
    send: own.send,
    // All that is sent passes through `send`.
    trySend: () => false,
    receive: own.receive,
    boundInbound: (bytesMax) => connection.boundInbound(bytesMax),
    close: (reason) => connection.close(reason),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
