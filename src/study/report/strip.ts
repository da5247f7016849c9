// Originals beside what the privacy-preserving layer sends, for whoever must judge what leaves a site. The pictures are of the records
// themselves, so they are made only where all records are at hand: in a run on one machine.

import { describeInputs, type Manifest, parseDataSettings } from '../../data/index.ts';
import { openSiteData } from '../../data/node/index.ts';
import type { Engine } from '../../engine/index.ts';
import { elementCount, type Tensor } from '../../tensor/index.ts';
import { type ModelFolder, modelOf } from '../model-folder.ts';
import { RunningModel } from '../running-model.ts';

/** One record's pictures as PNG data URIs. */
export interface StripRecord {
  /** Row of the site's validation part. */
  readonly row: number;
  readonly original: string;
  /** Some of the channels of its activations, each from its least value (black) to its largest (white). */
  readonly channels: readonly string[];
}

export interface Strip {
  readonly records: readonly StripRecord[];
  /** The channels that are shown, and how many there are. */
  readonly shown: readonly number[];
  readonly channelCount: number;
  readonly site: string;
}

const recordsShown = 5;
const channelsShown = 6;

/** What a strip is made from. */
export interface StripOptions {
  readonly model: ModelFolder;
  readonly engine: Engine;
  readonly dataPath: string;
  /** The records of the site whose records are shown, and its name. */
  readonly manifest: Manifest;
  readonly site: string;
}

/**
 * A strip of validation records, chosen by row number only: the first, the last and some evenly between. Undefined where inputs or
 * activations are no images or the site has no validation records.
 */
export async function imageStrip({
  model,
  engine,
  dataPath,
  manifest,
  site,
}: StripOptions): Promise<Strip | undefined> {
  const settings = parseDataSettings(model.description.data);
  const { dims, pixels } = describeInputs(settings);
  const records = manifest.parts.val.ids.length;
  if (dims.length !== 3 || records === 0) return undefined;
  const rows = spread(records, recordsShown);
  const running = await RunningModel.load(await modelOf(model, model.needsSite ? site : undefined), engine);
  const data = await openSiteData(settings, dataPath, manifest);
  try {
    data.pooling.setStandardisation(model.description.standardisation);
    const x = await data.parts.val.load(rows);
    const cut = await running.activations(x);
    if (cut.dims.length !== 4) return undefined;
    const [, channelCount = 0, height = 0, width = 0] = cut.dims;
    const shown = spread(channelCount, channelsShown);
    const images = rows.map(async (row, index): Promise<StripRecord> => {
      const own = recordOf(cut, index);
      const channels = shown.map((channel) => own.subarray(channel * height * width, (channel + 1) * height * width));
      return {
        row,
        original: await originalOf(recordOf(x, index), dims, pixels),
        channels: await Promise.all(channels.map((channel) => png(stretched(channel), width, height, 1))),
      };
    });
    return { records: await Promise.all(images), shown, channelCount, site };
  } finally {
    await data.close();
    await running.close();
  }
}

/** `most` indices below `count`, evenly from the first to the last; all where there are not more. */
function spread(count: number, most: number): number[] {
  const shown = Math.min(count, most);
  return Array.from({ length: shown }, (_, index) => Math.round((index * (count - 1)) / Math.max(1, shown - 1)));
}

function recordOf({ data, dims }: Tensor, index: number): Float32Array {
  const size = elementCount(dims.slice(1));
  return (data as Float32Array).subarray(index * size, (index + 1) * size);
}

/** The picture as it came in: the declared pixel scaling undone, 0 … 1 as black to white. */
async function originalOf(
  x: Float32Array,
  dims: readonly number[],
  pixels: { readonly mean: readonly number[]; readonly sd: readonly number[] } | null,
): Promise<string> {
  const [channels = 1, height = 0, width = 0] = dims;
  const plane = height * width;
  const out = new Uint8Array(channels * plane);
  for (let channel = 0; channel < channels; channel++) {
    const [mean, sd] = [pixels?.mean[channel] ?? 0, pixels?.sd[channel] ?? 1];
    for (let at = 0; at < plane; at++) out[at * channels + channel] = byteOf(x[channel * plane + at]! * sd + mean);
  }
  return png(out, width, height, channels === 3 ? 3 : 1);
}

function stretched(values: Float32Array): Uint8Array {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  return Uint8Array.from(values, (value) => byteOf((value - low) / (high - low || 1)));
}

function byteOf(unit: number): number {
  return Math.round(255 * Math.min(1, Math.max(0, unit)));
}

async function png(data: Uint8Array, width: number, height: number, channels: 1 | 3): Promise<string> {
  const { default: sharp } = await import('sharp');
  const image = await sharp(data, { raw: { width, height, channels } }).png().toBuffer();
  return `data:image/png;base64,${image.toString('base64')}`;
}
