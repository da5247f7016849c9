// Reads uncompressed BMP files (Microsoft's BITMAPINFOHEADER and its successors), which the image library does not: 1, 4 and 8 bit with a
// palette, 24 and 32 bit colour. Anything else is refused by name. The decoders on npm misread palettes or the offset of the pixels.

/** Interleaved 8-bit RGB, row-major from the top left. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

const uncompressed = 0;
const bitFields = 3;

/** Whether the bytes begin as a BMP file. */
export function isBmp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x42 && bytes[1] === 0x4d;
}

/** Decodes a BMP file of at most `pixelsMax` pixels. A fourth channel is not read: programs leave it at 0. Throws Error. */
export function decodeBmp(bytes: Uint8Array, pixelsMax: number): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 54) throw new Error('the file ends in its header');
  const start = view.getUint32(10, true);
  const headerSize = view.getUint32(14, true);
  if (headerSize < 40) throw new Error(`has a header of ${headerSize} bytes, but at least 40 were expected`);
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  if (width < 1 || height < 1 || width * height > pixelsMax)
    throw new Error(`its header says ${width} x ${height} pixels`);
  const bits = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  const hasMasks = compression === bitFields && bits === 32;
  if (compression !== uncompressed && !hasMasks)
    throw new Error(`is compressed BMP (method ${compression}): save it uncompressed or as PNG`);
  if (hasMasks) {
    if (bytes.byteLength < 66) throw new Error('the file ends in its header');
    const masks = [54, 58, 62].map((at) => view.getUint32(at, true));
    if (masks[0] !== 0xff0000 || masks[1] !== 0xff00 || masks[2] !== 0xff)
      throw new Error('has unusual colour masks: save it with 24 bits or as PNG');
  }
  if (![1, 4, 8, 24, 32].includes(bits))
    throw new Error(`has ${bits} bits a pixel, but 1, 4, 8, 24 or 32 were expected: save it as PNG`);
  const stride = 4 * Math.ceil((width * bits) / 32);
  if (start + stride * height > bytes.byteLength)
    throw new Error(`has ${bytes.byteLength} bytes, but ${start + stride * height} were expected`);

  const palette = bits <= 8 ? readPalette(bytes, view, 14 + headerSize, bits, start) : null;
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    // Rows are stored from the bottom up, unless the height is negative.
    const row = start + stride * (signedHeight > 0 ? height - 1 - y : y);
    for (let x = 0; x < width; x++, to += 3) {
      let from = row + (x * bits) / 8;
      let colours = bytes;
      if (palette !== null) {
        const byte = bytes[Math.floor(from)]!;
        const index = (byte >> (8 - bits - ((x * bits) & 7))) & ((1 << bits) - 1);
        from = 4 * index;
        colours = palette;
        if (from >= palette.length) throw new Error(`uses colour ${index} of ${palette.length / 4}`);
      }
      data[to] = colours[from + 2]!;
      data[to + 1] = colours[from + 1]!;
      data[to + 2] = colours[from]!;
    }
  }
  return { width, height, data };
}

/** The palette's colours, four bytes each: blue, green, red, 0. */
function readPalette(bytes: Uint8Array, view: DataView, at: number, bits: number, end: number): Uint8Array {
  const declared = view.getUint32(46, true);
  const colours = declared === 0 ? 1 << bits : declared;
  if (colours > 1 << bits || at + 4 * colours > end) throw new Error(`says it has ${colours} colours`);
  return bytes.subarray(at, at + 4 * colours);
}
