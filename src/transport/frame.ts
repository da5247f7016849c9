// Frames as bytes: their length, and joining their parts into one aligned buffer.

import { TransportError } from '../base/index.ts';

/** The bytes of a frame's parts together. Throws TransportError `too-large`. */
export function frameBytes(frame: readonly Uint8Array[], frameBytesMax: number): number {
  let bytes = 0;
  for (const part of frame) bytes += part.byteLength;
  if (bytes > frameBytesMax)
    throw new TransportError('too-large', `a frame of ${bytes} bytes is above the limit of ${frameBytesMax} bytes`);
  return bytes;
}

/** The parts one after another in a buffer of their own. */
export function joinFrame(frame: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(bytes);
  let offset = 0;
  for (const part of frame) {
    joined.set(part, offset);
    offset += part.byteLength;
  }
  return joined;
}
