// Decodes an image file to stored pixels of the declared size. The same file gives the same pixels at every site: colour profiles are
// not applied, nothing is done in linear light, and every choice is written here.
//
// - PNG, JPEG and TIFF (first page) by sharp, BMP by bmp.ts. 16 bit stays 16 bit; anything else is 8 bit.
// - A stored EXIF orientation is applied first, for a viewer shows the image so. (BMP has none.)
// - What is transparent lies over black. BMP's fourth channel is not read: programs leave it at 0.
// - Another size is resampled with a Lanczos kernel (a = 3), antialiased when shrinking.
// - Grey from colour is Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B of the stored values, after resampling: exact where R = G = B.

import sharp, { type Sharp } from 'sharp';
import { DataError, messageOf } from '../../base/index.ts';
import { decodeBmp, isBmp } from '../bmp.ts';
import type { Pixels } from '../image-data.ts';
import type { ImageSettings } from '../image-settings.ts';

// A site's process has other work; several images are decoded at a time instead. What is decoded is cached by the caller.
sharp.concurrency(1);
sharp.cache(false);

/** Width times height of the largest image that is decoded. */
export const pixelsMax = 100_000_000;

const fits = { stretch: 'fill', pad: 'contain', crop: 'cover' } as const;

/** Decodes the bytes of a file to `[channels, height, width]`. Throws DataError `bad-file` with `path`. */
export async function decodeImage(bytes: Uint8Array, image: ImageSettings, path: string): Promise<Pixels> {
  try {
    const { input, sixteenBit } = isBmp(bytes) ? fromBmp(bytes) : await decodeWithSharp(bytes);
    const { data, info } = await input
      .resize(image.width, image.height, {
        fit: fits[image.fit],
        position: 'centre',
        background: '#000',
        kernel: 'lanczos3',
      })
      .toColourspace(sixteenBit ? 'rgb16' : 'srgb')
      .raw({ depth: sixteenBit ? 'ushort' : 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const values = sixteenBit ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data;
    return toPlanes(values, info.channels, image);
  } catch (cause) {
    throw new DataError('bad-file', `${path}: cannot be decoded: ${messageOf(cause).split('\n')[0]}`, { cause });
  }
}

async function decodeWithSharp(bytes: Uint8Array): Promise<{ input: Sharp; sixteenBit: boolean }> {
  const options = { limitInputPixels: pixelsMax, failOn: 'error', ignoreIcc: true } as const;
  const { format, depth } = await sharp(bytes, options).metadata();
  if (format !== 'png' && format !== 'jpeg' && format !== 'tiff')
    throw new Error(`is ${format}, but PNG, JPEG, BMP or TIFF was expected: convert it first`);
  if (depth !== 'uchar' && depth !== 'ushort') throw new Error(`has ${depth} values, but 8 or 16 bit were expected`);
  const input = sharp(bytes, options).autoOrient().flatten({ background: '#000' });
  return { input, sixteenBit: depth === 'ushort' };
}

function fromBmp(bytes: Uint8Array): { input: Sharp; sixteenBit: boolean } {
  const { width, height, data } = decodeBmp(bytes, pixelsMax);
  return { input: sharp(data, { raw: { width, height, channels: 3 } }), sixteenBit: false };
}

/** Interleaved values to planes of the declared channels. */
function toPlanes(values: Uint8Array | Uint16Array, given: number, { channels, width, height }: ImageSettings): Pixels {
  const plane = width * height;
  const planes = values instanceof Uint16Array ? new Uint16Array(plane * channels) : new Uint8Array(plane * channels);
  for (let index = 0, at = 0; index < plane; index++, at += given) {
    const red = values[at]!;
    const green = given >= 3 ? values[at + 1]! : red;
    const blue = given >= 3 ? values[at + 2]! : red;
    if (channels === 1) planes[index] = Math.floor((299 * red + 587 * green + 114 * blue + 500) / 1000);
    else {
      planes[index] = red;
      planes[plane + index] = green;
      planes[2 * plane + index] = blue;
    }
  }
  return planes;
}
