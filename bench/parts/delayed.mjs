// A connection whose frames are under way for a while, in both directions, however many there are.

/** `connection` with `ms` milliseconds between sending and arrival each way. */
export function delayed(connection, ms) {
  const arrived = [];
  let wake = () => undefined;
  void (async () => {
    for (;;) {
      const frame = await connection.receive().catch(() => undefined);
      setTimeout(() => {
        arrived.push(frame);
        wake();
      }, ms);
      if (!frame) return;
    }
  })();
  return {
    id: connection.id,
    remote: connection.remote,
    get bytesSent() {
      return connection.bytesSent;
    },
    get bytesReceived() {
      return connection.bytesReceived;
    },
    send: async (frame) => {
      const copy = frame.map((part) => part.slice());
      setTimeout(() => connection.send(copy).catch(() => undefined), ms);
    },
    trySend: () => false,
    receive: async () => {
      while (arrived.length === 0) await new Promise((resolve) => (wake = resolve));
      return arrived.shift();
    },
    boundInbound: (bytesMax) => connection.boundInbound(bytesMax),
    // What is under way arrives before the end.
    close: async (reason) => {
      await new Promise((resolve) => setTimeout(resolve, 2 * ms));
      await connection.close(reason);
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
