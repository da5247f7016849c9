// The seam between Septum and the network: a narrow transport of whole frames of bytes. What a frame means is the protocol's
// business; a transport knows its length only.
//
// Order: frames of one connection arrive in the order of the `send` calls, each whole and once, or the connection ends.
// Back-pressure: each direction holds at most `backlogBytesMax` bytes and `backlogFramesMax` frames on each side (one frame may
// pass alone whatever its size), and what one read of the socket brings (64 KiB). A sender whose peer does not read waits.
// Limits: a frame longer than `frameBytesMax` is refused by the sender, and by the receiver before it allocates for it.
// Close: `close` delivers what was accepted before it, as far as the peer reads within the transport's closing time. The peer
// receives those frames and then `undefined`. A connection that breaks (peer vanished, peer broke the rules) gives the frames
// that arrived whole, and then rejects with TransportError.

/** The bounds of a connection, in bytes and frames. Both ends should agree on `frameBytesMax`. */
export interface TransportLimits {
  /** The longest frame either end may send; at most 2 147 483 647. */
  readonly frameBytesMax: number;
  readonly backlogBytesMax: number;
  readonly backlogFramesMax: number;
}

export const defaultTransportLimits: TransportLimits = {
  frameBytesMax: 64 * 2 ** 20,
  backlogBytesMax: 16 * 2 ** 20,
  backlogFramesMax: 1024,
};

/** Two ends that exchange frames. */
export interface Connection extends AsyncDisposable {
  /** Tells this process's connections apart; the peer has another. */
  readonly id: string;
  /** Where the peer is, for people. */
  readonly remote: string;
  /** What only the two ends of this very connection share, and nobody in between; undefined where the transport has no such thing. */
  readonly binding?: Uint8Array | undefined;
  /** The Ed25519 public key (32 bytes) of the certificate that the peer had to show; undefined where none was asked for. */
  readonly certifiedKey?: Uint8Array | undefined;
  /** Bytes of the frames accepted by `send`, without the transport's own framing. */
  readonly bytesSent: number;
  /** Bytes of the frames that arrived, read or not, without the transport's own framing. */
  readonly bytesReceived: number;

  /**
   * Sends one frame, the parts one after another. Resolves when the connection has accepted it, which may be before it left.
   * The parts must never be changed or transferred after the call; they may be sent on several connections.
   * Rejects with TransportError `too-large` (frame above the limit; the connection lives on), `closed`, or `refused` (more than
   * `backlogFramesMax` sends wait already). An abort while it waits takes the frame back and rejects with the signal's reason;
   * after acceptance it has no effect.
   */
  send(frame: readonly Uint8Array[], signal?: AbortSignal): Promise<void>;

  /**
   * Sends one frame if it can be accepted at once, under the terms of `send`. Returns whether it was; if not, nothing has happened.
   * Throws what `send` would reject with.
   */
  trySend(frame: readonly Uint8Array[]): boolean;

  /**
   * The next frame, whole, owned by the caller; its `byteOffset` is a multiple of 64. `undefined` after an orderly close by
   * either end. Rejects with TransportError `closed` or `too-large` after the connection broke, and with the signal's reason on
   * abort (no frame is lost). One call at a time.
   */
  receive(signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined>;

  /**
   * Bounds what the peer may send from here on, all together and with the transport's own framing: a peer that is not known yet is not
   * trusted with a whole frame's memory. One that sends more is heard no more: `receive` rejects with TransportError `too-large`, what else
   * comes is thrown away, and at most one read of the socket (64 KiB) was held. This end may still say why, and must close. `undefined`
   * lifts a bound that was kept.
   */
  boundInbound(bytesMax: number | undefined): void;

  /**
   * Closes in order: waiting sends reject with `closed`, frames not yet received here are dropped, `receive` gives `undefined`.
   * Resolves when the connection is gone. Never rejects; a second call waits for the first.
   */
  close(reason?: string): Promise<void>;
}

/** Waits for peers. */
export interface Listener extends AsyncDisposable {
  /** What a peer connects to, for example `ws://127.0.0.1:41873`. */
  readonly address: string;
  /** The next connection, owned by the caller; `undefined` after `close`. Rejects with the signal's reason. One call at a time. */
  accept(signal?: AbortSignal): Promise<Connection | undefined>;
  /** Stops listening and closes connections that nobody accepted. Accepted connections live on. A second call does nothing. */
  close(): Promise<void>;
}
