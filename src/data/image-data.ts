// A site's images behind the Records interface: decoded once, kept as stored (8 or 16 bit) while the memory allows, and turned into
// float32 inputs, varied if asked, each time they are loaded. Where the pixels come from is handed in.

import { assert } from '../base/index.ts';
import { zeros, type Tensor } from '../tensor/index.ts';
import { augments, augmentStream, drawVariation, vary } from './augment.ts';
import { classCounts, targetSums } from './label-sums.ts';
import { unlabelledPart, type ManifestPart, type OpenedData, type UnlabelledData } from './listing.ts';
import { columnSums } from './pooling.ts';
import { recordOfParts, type Augmenting, type Part, type Records } from './records.ts';
import type { AugmentSettings, ImageSettings } from './image-settings.ts';

/** An image of the declared size, `[channels, height, width]`; its whole range stands for 0 … 1. */
export type Pixels = Uint8Array | Uint16Array;

/** Decodes the image of a record, by id and row of the source. Throws DataError with its path. */
export type DecodePixels = (id: string, row: number) => Promise<Pixels>;

/** How images are read and prepared. */
export interface ImageReading {
  readonly image: ImageSettings;
  readonly augment: AugmentSettings;
  readonly decode: DecodePixels;
  readonly cache: PixelCache;
  /** Whether images are read and decoded elsewhere than in this thread, which can do other things meanwhile. */
  readonly decodesAside: boolean;
}

const decodedAtOnce = 4;

/**
 * Keeps decoded images up to a bound. What does not fit is decoded again each time: every epoch reads every image once, so to push
 * out an old one for a new one would gain nothing.
 */
export class PixelCache {
  readonly bytesMax: number;
  bytes = 0;
  readonly #pixels = new Map<number, Pixels>();

  constructor(bytesMax = 512 * 1024 * 1024) {
    this.bytesMax = bytesMax;
  }

  get(row: number): Pixels | undefined {
    return this.#pixels.get(row);
  }

  /** Keeps the image of a row of the source if there is room. */
  offer(row: number, pixels: Pixels): void {
    if (this.bytes + pixels.byteLength > this.bytesMax || this.#pixels.has(row)) return;
    this.bytes += pixels.byteLength;
    this.#pixels.set(row, pixels);
  }

  clear(): void {
    this.#pixels.clear();
    this.bytes = 0;
  }
}

/** The images of one part. */
export class ImageRecords implements Records {
  readonly count: number;
  readonly labels: Float64Array;
  readonly groups: Int32Array;
  readonly ids: readonly string[];
  readonly #rows: readonly number[];
  readonly #reading: ImageReading;

  constructor(part: ManifestPart, reading: ImageReading) {
    this.count = part.ids.length;
    this.labels = Float64Array.from(part.labels);
    this.groups = Int32Array.from(part.groups);
    this.ids = part.ids;
    this.#rows = part.rows;
    this.#reading = reading;
  }

  async load(rows: ArrayLike<number>, augmenting?: Augmenting): Promise<Tensor<'float32'>> {
    const { image, augment } = this.#reading;
    const { channels, height, width } = image;
    const size = channels * height * width;
    const out = zeros('float32', [rows.length, channels, height, width]);
    const stream = augmenting !== undefined && augments(augment) ? augmentStream(augmenting) : null;
    const firstRow = augmenting?.firstRow ?? 0;
    const plain = new Float32Array(size);
    for (let start = 0; start < rows.length; start += decodedAtOnce) {
      const end = Math.min(start + decodedAtOnce, rows.length);
      const decoded = await Promise.all(
        Array.from({ length: end - start }, (_, offset) => this.#pixels(rows[start + offset]!)),
      );
      decoded.forEach((pixels, offset) => {
        const at = start + offset;
        const target = out.data.subarray(at * size, (at + 1) * size);
        if (stream === null) toUnit(pixels, target);
        else {
          toUnit(pixels, plain);
          const variation = drawVariation(stream, firstRow + at, augment, width, height);
          vary(plain, target, [channels, height, width], variation, augment.fill);
        }
        scalePixels(target, image);
      });
    }
    return out;
  }

  /** Decodes what is not in the cache, while `mayGoOn` says so and the cache has room. Throws DataError. */
  async readAhead(mayGoOn: () => boolean): Promise<void> {
    const { cache } = this.#reading;
    let next = 0;
    let stopped = false;
    const read = async (): Promise<void> => {
      try {
        while (!stopped && next < this.count) {
          const row = next++;
          if (!mayGoOn()) stopped = true;
          else if ((await this.#pixels(row)) !== cache.get(this.#rows[row]!)) stopped = true;
        }
      } catch (error) {
        stopped = true; // for the others, too
        throw error;
      }
    };
    await Promise.all(Array.from({ length: decodedAtOnce }, read));
  }

  async #pixels(row: number): Promise<Pixels> {
    assert(row >= 0 && row < this.count, `row ${row} of ${this.count}`);
    const source = this.#rows[row]!;
    const { cache, decode } = this.#reading;
    const kept = cache.get(source);
    if (kept !== undefined) return kept;
    const pixels = await decode(this.ids[row]!, source);
    cache.offer(source, pixels);
    return pixels;
  }
}

/** A site's data from images. Images have nothing to pool: their scaling is declared. */
export function imageData(
  manifestParts: Readonly<Record<Part, ManifestPart>>,
  reading: ImageReading,
  classes: readonly string[] | null,
): OpenedData {
  const records = recordOfParts((part) => new ImageRecords(manifestParts[part], reading));
  return {
    ...(reading.decodesAside ? { readAhead: (mayGoOn) => records.train.readAhead(mayGoOn) } : {}),
    parts: records,
    pooling: {
      sums: () => ({ inputs: columnSums([], 0), target: targetSums(records.train, classes) }),
      setStandardisation: () => undefined,
      classCounts: () => classCounts(records, classes),
    },
    close: () => Promise.resolve(reading.cache.clear()),
  };
}

/** Images without labels. */
export function unlabelledImages(
  ids: readonly string[],
  reading: ImageReading,
  remarks: readonly string[] = [],
): UnlabelledData {
  return {
    records: new ImageRecords(unlabelledPart(ids), reading),
    remarks,
    setStandardisation: () => undefined,
    close: () => Promise.resolve(reading.cache.clear()),
  };
}

const unitOfByte = Float32Array.from({ length: 256 }, (_, value) => value / 255);

/** Stored values to 0 … 1: value / 255 or value / 65535. Two loops, for each then sees one kind of array. */
function toUnit(pixels: Pixels, out: Float32Array): void {
  assert(pixels.length === out.length, `an image of ${pixels.length} values where ${out.length} are declared`);
  if (pixels instanceof Uint16Array) {
    for (let index = 0; index < out.length; index++) out[index] = pixels[index]! / 65535;
  } else {
    for (let index = 0; index < out.length; index++) out[index] = unitOfByte[pixels[index]!]!;
  }
}

/** (value - mean) / sd of each channel, where declared. */
function scalePixels(values: Float32Array, { channels, pixels }: ImageSettings): void {
  if (pixels === undefined) return;
  const plane = values.length / channels;
  for (let channel = 0; channel < channels; channel++) {
    const mean = pixels.mean[channel]!;
    const sd = pixels.sd[channel]!;
    const end = (channel + 1) * plane;
    for (let index = channel * plane; index < end; index++) values[index] = (values[index]! - mean) / sd;
  }
}
