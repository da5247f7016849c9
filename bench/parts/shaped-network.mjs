// A network in user space: TCP connections that pass through here have a bandwidth and a delay in each direction, and can be cut. Real
// processes connect to it in place of the server.
//
// A direction is a line: bytes leave it at its rate, one after another, whichever connection they are of, and arrive a delay later. A line
// holds what its rate and delay keep under way and a queue of `queueMs`; beyond that the sender's socket is not read, as a full router's
// sender is held up. Time is kept by the clock, not by the timers: what a late timer should have let go goes all at once, and the line is
// as fast as it says over any time longer than a timer's few milliseconds.

import { createConnection, createServer } from 'node:net';

/** Bytes that go in one piece: at 100 Mbit/s 1.3 ms of them. */
const pieceBytes = 16 << 10;

/** One direction of a link. All connections that share it share its rate. */
export class Line {
  #bytesPerMs;
  #delayMs;
  #queueBytes;
  /** When the last of the bytes that were taken will have left. */
  #freeAtMs = 0;
  /** Pieces under way: { dueMs, bytes, arrive }, in order. */
  #underWay = [];
  #timer;
  #waiting = [];
  /** Bytes that have left, and when the first and the last did, in milliseconds of `performance.now()`. */
  bytes = 0;
  firstMs = 0;
  lastMs = 0;

  constructor({ bitsPerSecond, delayMs, queueMs = 50 }) {
    this.#bytesPerMs = bitsPerSecond / 8000;
    this.#delayMs = delayMs;
    this.#queueBytes = Math.max(2 * pieceBytes, queueMs * this.#bytesPerMs);
  }

  /** Whether more can be taken at once: the bytes that wait to leave are few. */
  get hasRoom() {
    return (this.#freeAtMs - performance.now()) * this.#bytesPerMs < this.#queueBytes;
  }

  /** Resolves when there is room again. */
  room() {
    if (this.hasRoom) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  /** Takes bytes; `arrive` is called with them at the other end, in the order of the calls. Without bytes it is a mark that arrives as they would. */
  take(data, arrive) {
    const nowMs = performance.now();
    if (data.length > 0) {
      const startMs = Math.max(nowMs, this.#freeAtMs);
      if (this.bytes === 0) this.firstMs = startMs;
      this.#freeAtMs = startMs + data.length / this.#bytesPerMs;
      this.bytes += data.length;
      this.lastMs = this.#freeAtMs;
    }
    const dueMs = Math.max(nowMs, this.#freeAtMs) + this.#delayMs;
    this.#underWay.push({ dueMs, data, arrive });
    this.#schedule();
  }

  /** Counts from here on. */
  reset() {
    this.bytes = 0;
  }

  close() {
    clearTimeout(this.#timer);
    this.#underWay = [];
    for (const go of this.#waiting.splice(0)) go();
  }

  #schedule() {
    clearTimeout(this.#timer);
    const nowMs = performance.now();
    const next = this.#underWay[0]?.dueMs ?? Number.POSITIVE_INFINITY;
    // Room comes when the bytes that wait are fewer than the queue holds.
    const roomMs =
      this.#waiting.length > 0 ? this.#freeAtMs - this.#queueBytes / this.#bytesPerMs : Number.POSITIVE_INFINITY;
    const atMs = Math.min(next, roomMs);
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#run(), Math.max(0, atMs - nowMs));
  }

  #run() {
    const nowMs = performance.now();
    while (this.#underWay.length > 0 && this.#underWay[0].dueMs <= nowMs) {
      const { data, arrive } = this.#underWay.shift();
      arrive(data);
    }
    if (this.hasRoom) for (const go of this.#waiting.splice(0)) go();
    this.#schedule();
  }
}

/**
 * A listener on this machine whose connections lead to a port of this machine over a line up and a line down. `lines` gives a connection
 * its two lines, so that connections may share them or have their own.
 */
export class ShapedNetwork {
  #server;
  #targetPort;
  #lines;
  #sockets = new Set();
  /** Connections that were made. */
  connections = 0;

  static async open(targetPort, lines) {
    const network = new ShapedNetwork();
    network.#targetPort = targetPort;
    network.#lines = lines;
    network.#server = createServer({ allowHalfOpen: true }, (socket) => network.#join(socket));
    await new Promise((resolve) => network.#server.listen(0, '127.0.0.1', resolve));
    return network;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection; new ones are let in. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  #join(near) {
    const far = createConnection({ port: this.#targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const { up, down } = this.#lines(this.connections++);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    }
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', end);
    // One that ended in order leaves what is under way to arrive; one that was cut does not.
    near.on('close', () => near.readableEnded || far.destroy());
    far.on('close', () => far.readableEnded || near.destroy());
    void carry(near, far, up);
    void carry(far, near, down);
  }
}

/** Carries all bytes of one socket to another over a line, and then its end. */
async function carry(from, to, line) {
  try {
    for await (const data of from.iterator({ destroyOnReturn: false })) {
      for (let at = 0; at < data.length; at += pieceBytes) {
        await line.room();
        line.take(data.subarray(at, at + pieceBytes), (piece) => void (to.destroyed || to.write(piece)));
      }
      // What the far end does not read waits here: no more is taken meanwhile.
      if (to.writableLength > 1 << 20) await drained(to);
    }
  } catch {
    // The socket broke: its partner is destroyed with it.
  }
  line.take(Buffer.alloc(0), () => void (to.destroyed || to.end()));
}

function drained(socket) {
  return new Promise((resolve) => {
    const over = () => {
      socket.off('drain', over);
      socket.off('close', over);
      resolve();
    };
    socket.on('drain', over);
    socket.on('close', over);
  });
}
