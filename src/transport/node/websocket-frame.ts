// The header of one whole binary WebSocket message (RFC 6455, section 5.2). `ws` would need the parts of a frame joined; with the
// header at hand the parts go to the socket as they are, in one gathered write.

/** The header for `bytes` bytes of payload; `masked` announces a mask of zeros, which leaves the payload as it is. */
export function binaryMessageHeader(bytes: number, masked: boolean): Uint8Array {
  const lengthBytes = bytes < 126 ? 0 : bytes < 65_536 ? 2 : 8;
  const header = new Uint8Array(2 + lengthBytes + (masked ? 4 : 0));
  const view = new DataView(header.buffer);
  header[0] = 0x82;
  header[1] = (masked ? 0x80 : 0) | (lengthBytes === 0 ? bytes : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, bytes);
  if (lengthBytes === 8) view.setBigUint64(2, BigInt(bytes));
  return header;
}
