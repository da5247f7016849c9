// Bytes as hexadecimal digits, lower case.

export function toHex(bytes: Uint8Array): string {
  if (bytes.length === 0) return '';
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The bytes of an even number of hexadecimal digits; what it gives for anything else is not said. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  if (hex === '') return new Uint8Array();
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16),
  );
}
