import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { imageSettings } from '../image-settings.ts';
import { decodeImage } from './decode-image.ts';

// An 8 x 8 ramp with values 0 … 252 in steps of 4, and one of colours.
const size = 8;
const ramp = Uint8Array.from({ length: size * size }, (_, index) => 4 * index);
const colours = Uint8Array.from({ length: size * size * 3 }, (_, index) => (37 * index) % 256);
const grey = () => sharp(ramp, { raw: { width: size, height: size, channels: 1 } }).toColourspace('b-w');
const rgb = () => sharp(colours, { raw: { width: size, height: size, channels: 3 } });
const settings = (changes: object = {}) => imageSettings.parse({ width: size, height: size, ...changes });
const decode = (bytes: Uint8Array, changes: object = {}) => decodeImage(bytes, settings(changes), 'x.png');

function planesOf(interleaved: Uint8Array): number[] {
  return [0, 1, 2].flatMap((channel) => Array.from(interleaved).filter((_, index) => index % 3 === channel));
}

/** A BMP file of the stored rows, which are given from the top down and padded here; `palette` in four bytes a colour. */
function bmp(
  width: number,
  height: number,
  bits: number,
  rows: readonly (readonly number[])[],
  palette: readonly number[] = [],
  gap = 0,
): Uint8Array {
  const stride = Math.ceil((width * bits) / 32) * 4;
  const start = 54 + palette.length + gap;
  const bytes = new Uint8Array(start + stride * rows.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, start, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, bits, true);
  view.setUint32(46, palette.length / 4, true);
  bytes.set(palette, 54);
  rows.forEach((row, index) => bytes.set(row, start + stride * (height > 0 ? rows.length - 1 - index : index)));
  return bytes;
}

/** The colours as a BMP of 24 or 32 bits: blue, green, red, and 0. */
function colourBmp(bits: 24 | 32, gap = 0): Uint8Array {
  const rows = Array.from({ length: size }, (_, y) =>
    Array.from({ length: size }, (_unused, x) => {
      const at = 3 * (size * y + x);
      return [colours[at + 2]!, colours[at + 1]!, colours[at]!, ...(bits === 32 ? [0] : [])];
    }).flat(),
  );
  return bmp(size, size, bits, rows, [], gap);
}

/** A BMP with a header field overwritten. */
function patched(at: number, value: number): Uint8Array {
  const bytes = colourBmp(24);
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
}

describe('decoding an image', () => {
  it.each([
    ['PNG', () => grey().png()],
    ['palette PNG', () => grey().png({ palette: true, colours: 256, dither: 0 })],
    ['TIFF', () => grey().tiff({ compression: 'none' })],
    ['TIFF with LZW', () => grey().tiff({ compression: 'lzw' })],
  ])('gives the stored values of a grey %s exactly', async (_, image) => {
    const pixels = await decode(await image().toBuffer());
    expect(pixels).toBeInstanceOf(Uint8Array);
    expect([...pixels]).toEqual([...ramp]);
  });

  it('keeps 16 bits', async () => {
    const wide = Uint16Array.from({ length: size * size }, (_, index) => 1021 * index + 3);
    const raw = { width: size, height: size, channels: 1 } as const;
    const image = () => sharp(wide, { raw }).toColourspace('grey16');
    // By default sharp writes TIFF with JPEG's compression, in 8 bit.
    for (const file of [image().png(), image().tiff({ compression: 'lzw' })]) {
      const bytes = await file.toBuffer();
      const pixels = await decode(bytes);
      expect(pixels).toBeInstanceOf(Uint16Array);
      expect([...pixels]).toEqual([...wide]);
    }
  });

  it('reads JPEG, near its values', async () => {
    const pixels = await decode(await grey().jpeg({ quality: 100 }).toBuffer());
    for (let index = 0; index < ramp.length; index++) expect(Math.abs(pixels[index]! - ramp[index]!)).toBeLessThan(4);
  });

  it('reads BMP with 24 and 32 bits, colours in their places, wherever the pixels start', async () => {
    for (const bytes of [colourBmp(24), colourBmp(32), colourBmp(24, 20)])
      expect([...(await decode(bytes, { channels: 3 }))]).toEqual(planesOf(colours));
  });

  it('reads BMP with a palette and padded rows, from the bottom up and from the top down', async () => {
    // 9 x 8 of the inverted greys: a row takes 12 bytes.
    const palette = Array.from({ length: 256 }, (_, index) => [255 - index, 255 - index, 255 - index, 0]).flat();
    const rows = Array.from({ length: 8 }, (_, y) => Array.from({ length: 9 }, (_unused, x) => 3 * (9 * y + x)));
    for (const height of [8, -8]) {
      const pixels = await decode(bmp(9, height, 8, rows, palette), { width: 9 });
      expect([...pixels]).toEqual(rows.flat().map((index) => 255 - index));
    }
  });

  it('reads BMP with 1 and 4 bits, the first pixel in the upper bits', async () => {
    const twoColours = [0, 0, 0, 0, 200, 200, 200, 0];
    const bitRows = Array.from({ length: 8 }, () => [0b10010000, 0b01000000]);
    const oneBit = await decode(bmp(10, 8, 1, bitRows, twoColours), { width: 10 });
    expect([...oneBit.subarray(0, 10)]).toEqual([200, 0, 0, 200, 0, 0, 0, 0, 0, 200]);
    const greys = Array.from({ length: 16 }, (_, index) => [10 * index, 10 * index, 10 * index, 0]).flat();
    const nibbleRows = Array.from({ length: 8 }, () => [0x12, 0x34, 0x56, 0x78, 0xf0]);
    const fourBit = await decode(bmp(9, 8, 4, nibbleRows, greys), { width: 9 });
    expect([...fourBit.subarray(0, 9)]).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 150]);
  });

  it('makes planes of colours, and Rec. 601 luma of them for one channel', async () => {
    const bytes = await rgb().png().toBuffer();
    expect([...(await decode(bytes, { channels: 3 }))]).toEqual(planesOf(colours));
    const luma = Array.from({ length: size * size }, (_, index) => {
      const [red, green, blue] = [0, 1, 2].map((channel) => colours[3 * index + channel]!);
      return Math.round(0.299 * red! + 0.587 * green! + 0.114 * blue!);
    });
    expect([...(await decode(bytes))]).toEqual(luma);
  });

  it('repeats grey for three channels', async () => {
    const pixels = await decode(await grey().png().toBuffer(), { channels: 3 });
    expect([...pixels]).toEqual([...ramp, ...ramp, ...ramp]);
  });

  it('lays what is transparent over black', async () => {
    const rgba = Uint8Array.from({ length: size * size * 4 }, (_, index) => (index % 4 === 3 ? 0 : 200));
    rgba[3] = 255;
    const bytes = await sharp(rgba, { raw: { width: size, height: size, channels: 4 } })
      .png()
      .toBuffer();
    const pixels = await decode(bytes);
    expect([pixels[0], pixels[1], pixels.at(-1)]).toEqual([200, 0, 0]);
  });

  it('applies a stored orientation, as viewers do', async () => {
    // Orientation 3: turned by 180 degrees.
    const bytes = await grey().withMetadata({ orientation: 3 }).png().toBuffer();
    expect([...(await decode(bytes))]).toEqual([...ramp].toReversed());
  });

  it('does not apply a colour profile', async () => {
    const bytes = await rgb().withIccProfile('p3', { attach: true }).png().toBuffer();
    const stored = await sharp(bytes, { ignoreIcc: true }).raw().toBuffer();
    expect((await sharp(bytes).metadata()).icc).toBeDefined();
    expect([...(await decode(bytes, { channels: 3 }))]).toEqual(planesOf(stored));
  });

  it('stretches, pads with black or crops about the centre', async () => {
    // 16 x 8: black, white, white, black in columns of 4.
    const bands = Uint8Array.from({ length: 128 }, (_, index) => (index % 16 >= 4 && index % 16 < 12 ? 255 : 0));
    const bytes = await sharp(bands, { raw: { width: 16, height: 8, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const rowOf = async (fit: string, row: number) => [
      ...(await decode(bytes, { fit })).subarray(8 * row, 8 * row + 8),
    ];
    expect(await rowOf('crop', 3)).toEqual([255, 255, 255, 255, 255, 255, 255, 255]);
    const [outer, , , inner] = await rowOf('stretch', 3);
    expect(outer).toBeLessThan(30);
    expect(inner).toBeGreaterThan(225);
    expect(await rowOf('pad', 0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect((await rowOf('pad', 4))[3]).toBeGreaterThan(225);
  });

  it('shrinks without aliasing', async () => {
    const stripes = Uint8Array.from({ length: 64 * 64 }, (_, index) => (index % 2 === 0 ? 255 : 0));
    const bytes = await sharp(stripes, { raw: { width: 64, height: 64, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const inner = [...(await decode(bytes))].filter((_, index) => index % 8 > 0 && index % 8 < 7);
    for (const value of inner) expect(Math.abs(value - 127.5)).toBeLessThan(10);
  });

  it.each([
    ['no image', async () => new TextEncoder().encode('not an image')],
    ['an empty file', async () => new Uint8Array()],
    ['a PNG cut short', async () => (await rgb().png().toBuffer()).subarray(0, 120)],
    ['a BMP cut short', async () => colourBmp(24).subarray(0, 100)],
    ['a BMP header alone', async () => new TextEncoder().encode('BM header')],
    ['a compressed BMP', async () => patched(30, 1)],
    ['a BMP of 16 bits', async () => patched(28, 16)],
    ['a BMP that claims to be huge', async () => patched(18, 2_000_000_000)],
    ['a BMP whose pixels start past its end', async () => patched(10, 0xffffffff)],
    ['a BMP with a colour that its palette lacks', async () => bmp(8, 1, 8, [[0, 1, 2, 3, 0, 0, 0, 0]], [0, 0, 0, 0])],
    ['a GIF', async () => rgb().gif().toBuffer()],
  ])('refuses %s with its path', async (_, bytes) => {
    await expect(decode(await bytes())).rejects.toMatchObject({
      name: 'DataError',
      code: 'bad-file',
      message: expect.stringMatching(/^x\.png: cannot be decoded: /),
    });
  });
});
