// The transport within one process. Frames are copied once, so neither end can touch the other's memory; nothing depends on time.

import { TransportError } from '../base/index.ts';
import { frameBytes, joinFrame } from './frame.ts';
import { Inbox } from './inbox.ts';
import { SendGate } from './send-gate.ts';
import { defaultTransportLimits, type Connection, type Listener, type TransportLimits } from './transport.ts';

/** A listener and the way to it. `connect` rejects with TransportError `refused` above `connectionsMax`, `connect-failed` after close. */
export interface MemoryListener extends Listener {
  connect(): Promise<Connection>;
}

let connectionCount = 0;

/** Two connected ends. `limits` hold for each direction. */
export function createMemoryPair(limits: Partial<TransportLimits> = {}): [Connection, Connection] {
  const bounds = { ...defaultTransportLimits, ...limits };
  const first = new MemoryConnection(bounds);
  const second = new MemoryConnection(bounds);
  first.join(second);
  second.join(first);
  return [first, second];
}

/** A listener within this process, for tests and for a study in one process. At most `connectionsMax` connections are open at once. */
export function createMemoryListener(
  options: Partial<TransportLimits> & { readonly connectionsMax?: number } = {},
): MemoryListener {
  const { connectionsMax = 1024, ...limits } = options;
  const arrived = new Inbox<Connection>(() => {});
  let openCount = 0;
  let closed = false;
  const close = async (): Promise<void> => {
    closed = true;
    await Promise.all(arrived.clear().map((connection) => connection.close('the listener closed')));
  };
  return {
    address: 'memory:',
    connect: async () => {
      if (closed) throw new TransportError('connect-failed', 'the listener is closed');
      if (openCount >= connectionsMax)
        throw new TransportError('refused', `the listener holds ${connectionsMax} connections already`);
      const [near, far] = createMemoryPair(limits) as [MemoryConnection, MemoryConnection];
      openCount += 1;
      far.onClose = () => (openCount -= 1);
      arrived.put(far);
      return near;
    },
    accept: (signal) => arrived.take(signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

class MemoryConnection implements Connection {
  readonly id = `memory-${(connectionCount += 1)}`;
  remote = '';
  bytesSent = 0;
  bytesReceived = 0;
  onClose: () => void = () => {};
  #inboundLeft = Number.POSITIVE_INFINITY;
  readonly #limits: TransportLimits;
  readonly #gate: SendGate;
  readonly #inbox = new Inbox<Uint8Array<ArrayBuffer>>((frame) => this.#peer.#gate.leave(frame.byteLength));
  #peer: MemoryConnection = this;

  constructor(limits: TransportLimits) {
    this.#limits = limits;
    this.#gate = new SendGate(limits);
  }

  join(peer: MemoryConnection): void {
    this.#peer = peer;
    this.remote = peer.id;
  }

  async send(frame: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const bytes = frameBytes(frame, this.#limits.frameBytesMax);
    await this.#gate.enter(bytes, () => this.#pass(frame, bytes), signal);
  }

  trySend(frame: readonly Uint8Array[]): boolean {
    const bytes = frameBytes(frame, this.#limits.frameBytesMax);
    return this.#gate.tryEnter(bytes, () => this.#pass(frame, bytes));
  }

  receive(signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#inbox.take(signal);
  }

  boundInbound(bytesMax: number | undefined): void {
    if (this.#inboundLeft >= 0) this.#inboundLeft = bytesMax ?? Number.POSITIVE_INFINITY;
  }

  async close(reason = 'closed'): Promise<void> {
    this.#inbox.clear();
    this.#end(`this end closed the connection: ${reason}`);
    this.#peer.#end(`the other end closed the connection: ${reason}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #pass(frame: readonly Uint8Array[], bytes: number): void {
    const peer = this.#peer;
    this.bytesSent += bytes;
    peer.#inboundLeft -= bytes;
    if (peer.#inboundLeft < 0) {
      peer.#inbox.end(new TransportError('too-large', `${this.id} sent more than it may before it is known`));
      queueMicrotask(() => this.#gate.leave(bytes));
      return;
    }
    peer.bytesReceived += bytes;
    peer.#inbox.put(joinFrame(frame, bytes));
  }

  #end(message: string): void {
    this.#gate.close(new TransportError('closed', message));
    this.#inbox.end();
    this.onClose();
    this.onClose = () => {};
  }
}
