// Varies a training image before it enters the segment, in plain typed arrays. What happens to a record is a function of
// (study seed, site, epoch, batch, row) alone, so a resumed run, or the uncut network, sees the same images.

import { randomStream, type RandomStream } from '../base/index.ts';
import type { Augmenting } from './records.ts';
import type { AugmentSettings } from './image-settings.ts';

/** The drawn variation of one image. */
export interface Variation {
  readonly flipHorizontal: boolean;
  readonly flipVertical: boolean;
  /** Whole pixels to the right and down. */
  readonly shiftX: number;
  readonly shiftY: number;
  /** Anticlockwise as seen, in radians. */
  readonly angle: number;
  readonly brightness: number;
  readonly contrast: number;
}

/** Whether the settings change an image at all. */
export function augments(settings: AugmentSettings): boolean {
  const { flipHorizontal, flipVertical, shift, rotateDegrees, brightness, contrast } = settings;
  return flipHorizontal || flipVertical || shift > 0 || rotateDegrees > 0 || brightness > 0 || contrast > 0;
}

/** The stream of a batch's variations; a record's are at its row in the batch. */
export function augmentStream({ studySeed, siteIndex, epoch, batchIndex }: Augmenting): RandomStream {
  return randomStream(studySeed, 'augment', [siteIndex, epoch, batchIndex]);
}

/**
 * Draws a variation: uniform values 0 … 6 of the row, each always for the same thing, whatever else is switched on. A shift is
 * uniform over the whole pixels from -floor(shift·size) to floor(shift·size).
 */
export function drawVariation(
  stream: RandomStream,
  row: number,
  settings: AugmentSettings,
  width: number,
  height: number,
): Variation {
  const u = new Float64Array(7);
  stream.fillUniform(u, 0, row);
  const pixels = (value: number, most: number) => Math.floor(value * (2 * most + 1)) - most;
  const within = (value: number, most: number) => (most === 0 ? 0 : (2 * value - 1) * most);
  return {
    flipHorizontal: settings.flipHorizontal && u[0]! < 0.5,
    flipVertical: settings.flipVertical && u[1]! < 0.5,
    shiftX: pixels(u[2]!, Math.floor(settings.shift * width)),
    shiftY: pixels(u[3]!, Math.floor(settings.shift * height)),
    angle: within(u[4]!, (settings.rotateDegrees * Math.PI) / 180),
    brightness: within(u[5]!, settings.brightness),
    contrast: 1 + within(u[6]!, settings.contrast),
  };
}

/**
 * Writes the varied `source` to `out`, both `[channels, height, width]` of 0 … 1, not overlapping. First flips, then rotation about
 * the centre (bilinear), then the shift; then (value - m)·contrast + m + brightness with m the image's mean, held to 0 … 1 as a stored
 * image is. From outside come the nearest edge pixels, or the image mirrored about its edge pixels (which are not repeated), or 0.
 */
export function vary(
  source: Float32Array,
  out: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  variation: Variation,
  fill: AugmentSettings['fill'],
): void {
  if (variation.angle === 0) copyShifted(source, out, channels, height, width, variation, fill);
  else rotate(source, out, channels, height, width, variation, fill);
  const { brightness, contrast } = variation;
  if (brightness === 0 && contrast === 1) return;
  let sum = 0;
  for (let index = 0; index < out.length; index++) sum += out[index]!;
  const offset = (sum / out.length) * (1 - contrast) + brightness;
  for (let index = 0; index < out.length; index++) {
    const value = out[index]! * contrast + offset;
    out[index] = value < 0 ? 0 : value > 1 ? 1 : value;
  }
}

/** The source index for an index that may lie outside 0 … size-1; -1 where zero comes in. */
function inside(index: number, size: number, fill: AugmentSettings['fill']): number {
  if (index >= 0 && index < size) return index;
  if (fill === 'zero') return -1;
  if (fill === 'edge') return index < 0 ? 0 : size - 1;
  const period = 2 * (size - 1);
  const turned = ((index % period) + period) % period;
  return turned < size ? turned : period - turned;
}

/** For each place along an axis, the source index before shift and flip. */
function axisMap(size: number, shift: number, flip: boolean, fill: AugmentSettings['fill']): Int32Array {
  const map = new Int32Array(size);
  for (let to = 0; to < size; to++) {
    const from = inside(to - shift, size, fill);
    map[to] = flip && from >= 0 ? size - 1 - from : from;
  }
  return map;
}

function copyShifted(
  source: Float32Array,
  out: Float32Array,
  channels: number,
  height: number,
  width: number,
  { shiftX, shiftY, flipHorizontal, flipVertical }: Variation,
  fill: AugmentSettings['fill'],
): void {
  const columns = axisMap(width, shiftX, flipHorizontal, fill);
  const rows = axisMap(height, shiftY, flipVertical, fill);
  let to = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < height; y++) {
      const row = rows[y]!;
      if (row < 0) {
        out.fill(0, to, to + width);
        to += width;
        continue;
      }
      const start = (channel * height + row) * width;
      for (let x = 0; x < width; x++) {
        const column = columns[x]!;
        out[to++] = column < 0 ? 0 : source[start + column]!;
      }
    }
  }
}

function rotate(
  source: Float32Array,
  out: Float32Array,
  channels: number,
  height: number,
  width: number,
  { shiftX, shiftY, flipHorizontal, flipVertical, angle }: Variation,
  fill: AugmentSettings['fill'],
): void {
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const centreX = (width - 1) / 2;
  const centreY = (height - 1) / 2;
  const plane = height * width;
  // The place in the flipped image, then its mirror image; a step to the right adds (stepX, stepY).
  const stepX = flipHorizontal ? -cos : cos;
  const stepY = flipVertical ? -sin : sin;
  const value = (start: number, x: number, y: number) => (x < 0 || y < 0 ? 0 : source[start + y * width + x]!);
  for (let y = 0; y < height; y++) {
    const dx = -centreX - shiftX;
    const dy = y - centreY - shiftY;
    const startX = centreX + cos * dx - sin * dy;
    const startY = centreY + sin * dx + cos * dy;
    const firstX = flipHorizontal ? width - 1 - startX : startX;
    const firstY = flipVertical ? height - 1 - startY : startY;
    for (let x = 0; x < width; x++) {
      const fromX = firstX + x * stepX;
      const fromY = firstY + x * stepY;
      const left = Math.floor(fromX);
      const top = Math.floor(fromY);
      const rightShare = fromX - left;
      const lowerShare = fromY - top;
      const isInside = left >= 0 && top >= 0 && left + 1 < width && top + 1 < height;
      for (let channel = 0; channel < channels; channel++) {
        const start = channel * plane;
        let a: number, b: number, c: number, d: number;
        if (isInside) {
          const at = start + top * width + left;
          a = source[at]!;
          b = source[at + 1]!;
          c = source[at + width]!;
          d = source[at + width + 1]!;
        } else {
          const x0 = inside(left, width, fill);
          const x1 = inside(left + 1, width, fill);
          const y0 = inside(top, height, fill);
          const y1 = inside(top + 1, height, fill);
          a = value(start, x0, y0);
          b = value(start, x1, y0);
          c = value(start, x0, y1);
          d = value(start, x1, y1);
        }
        const upper = a + (b - a) * rightShare;
        const lower = c + (d - c) * rightShare;
        out[start + y * width + x] = upper + (lower - upper) * lowerShare;
      }
    }
  }
}
