// A connection that keeps count of the messages that pass, for comparing what leaves with what was announced.

import { decodeMessage, type MessageKind } from '../../src/protocol/index.ts';
import { bytesOf } from '../../src/tensor/index.ts';
import { type Connection, throughConnection } from '../../src/transport/index.ts';

/** One message that passed. */
export interface Passed {
  readonly direction: 'up' | 'down';
  readonly kind: MessageKind;
  readonly frameBytes: number;
  readonly tensorBytes: number;
}

/** A site's end of a connection whose messages are added to `passed`. */
export function counting(connection: Connection, passed: Passed[]): Connection {
  const note = (direction: 'up' | 'down', frame: Uint8Array<ArrayBuffer>): void => {
    const { kind, tensors } = decodeMessage(frame);
    const tensorBytes = tensors.reduce((sum, { tensor }) => sum + bytesOf(tensor).length, 0);
    passed.push({ direction, kind, frameBytes: frame.length, tensorBytes });
  };
  return throughConnection(connection, {
    send: async (frame, signal) => {
      note('up', Uint8Array.from(Buffer.concat(frame)));
      await connection.send(frame, signal);
    },
    receive: async (signal) => {
      const frame = await connection.receive(signal);
      if (frame) note('down', frame);
      return frame;
    },
  });
}
