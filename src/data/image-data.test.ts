import { describe, expect, it } from 'vitest';
import { augmentStream, drawVariation, vary } from './augment.ts';
import { imageData, ImageRecords, PixelCache, type Pixels } from './image-data.ts';
import { augmentSettings, imageSettings } from './image-settings.ts';

const count = 12;
const rows = Array.from({ length: count }, (_, row) => row);
const part = { ids: rows.map((row) => `r${row}`), rows: rows.map((row) => 100 + row), labels: rows, groups: rows };

/** 8 x 8 images whose pixels tell the row; counts how often each is decoded. */
function records(options: { bytesMax?: number; wide?: boolean; image?: object; augment?: object } = {}) {
  const image = imageSettings.parse({ width: 8, height: 8, ...options.image });
  const augment = augmentSettings.parse(options.augment ?? {});
  const decoded: string[] = [];
  const cache = new PixelCache(options.bytesMax);
  const reading = {
    image,
    augment,
    cache,
    decodesAside: true,
    decode: (id: string, row: number): Promise<Pixels> => {
      decoded.push(`${id} ${row}`);
      const length = image.channels * 64;
      const values = Array.from({ length }, (_, index) => (row - 100) * 20 + (index % 8));
      return Promise.resolve(options.wide === true ? Uint16Array.from(values) : Uint8Array.from(values));
    },
  };
  return { records: new ImageRecords(part, reading), reading, decoded, cache, image, augment };
}

describe('images of a site', () => {
  it('come as float32 of 0 … 1 in the order asked for, 8 or 16 bit', async () => {
    for (const wide of [false, true]) {
      const { records: images } = records({ wide });
      const { dims, data } = await images.load([3, 0, 3]);
      expect(dims).toEqual([3, 1, 8, 8]);
      const most = wide ? 65535 : 255;
      expect([data[1], data[64], data[129]]).toEqual([61, 0, 61].map((value) => Math.fround(value / most)));
    }
  });

  it('are scaled by the declared mean and sd of each channel', async () => {
    const pixels = { mean: [0.5, 0, 0.25], sd: [0.5, 1, 2] };
    const { records: images } = records({ image: { channels: 3, pixels } });
    const { data } = await images.load([5]);
    [0, 1, 2].forEach((channel) =>
      expect(data[64 * channel + 3]).toBeCloseTo((103 / 255 - pixels.mean[channel]!) / pixels.sd[channel]!, 6),
    );
  });

  it('are decoded once while there is room, and never take more than the bound', async () => {
    const all = records({ bytesMax: count * 64 });
    await all.records.load(rows);
    await all.records.load(rows);
    expect(all.decoded.length).toBe(count);
    const few = records({ bytesMax: 5 * 64 + 63 });
    await few.records.load(rows);
    expect(few.cache.bytes).toBe(5 * 64);
    await few.records.load(rows);
    expect(few.decoded.length).toBe(count + (count - 5));
  });

  it('are read ahead once each, as far as there is room', async () => {
    const all = records();
    await all.records.readAhead(() => true);
    expect(new Set(all.decoded)).toEqual(new Set(rows.map((row) => `r${row} ${100 + row}`)));
    await all.records.load(rows);
    expect(all.decoded.length).toBe(count);
    const few = records({ bytesMax: 5 * 64 });
    await few.records.readAhead(() => true);
    expect(few.cache.bytes).toBe(5 * 64);
    expect(few.decoded.length).toBeLessThan(count);
  });

  it('are read ahead only while they may be', async () => {
    const { records: images, decoded } = records();
    let left = 3;
    await images.readAhead(() => left-- > 0);
    expect(decoded.length).toBe(3);
  });

  it('are read ahead until one cannot be', async () => {
    const { reading } = records();
    let begun = 0;
    const broken = new ImageRecords(part, {
      ...reading,
      decode: (id, row) => (begun++ === 2 ? Promise.reject(new Error(`${id} is broken`)) : reading.decode(id, row)),
    });
    await expect(broken.readAhead(() => true)).rejects.toThrow('r2 is broken');
    expect(begun).toBeLessThan(count);
  });

  it('are read ahead for training, where the thread is free meanwhile', async () => {
    const { reading, decoded } = records();
    const other = { ...part, rows: rows.map((row) => 200 + row) };
    const of = { train: part, val: other, test: other };
    await imageData(of, reading, null).readAhead?.(() => true);
    expect(decoded).toEqual(rows.map((row) => `r${row} ${100 + row}`));
    expect(imageData(of, { ...reading, decodesAside: false }, null).readAhead).toBeUndefined();
  });

  it('are varied as their place in the batch says, also when a batch is loaded in pieces', async () => {
    const augmenting = { studySeed: 1, siteIndex: 0, epoch: 4, batchIndex: 2 };
    const {
      records: images,
      augment,
      image,
    } = records({ augment: { flipHorizontal: true, shift: 0.3, brightness: 0.1 } });
    const whole = await images.load([4, 9, 1, 7], augmenting);
    const second = await images.load([1, 7], { ...augmenting, firstRow: 2 });
    expect([...second.data]).toEqual([...whole.data.subarray(128)]);
    const plain = await images.load([9]);
    const expected = new Float32Array(64);
    const variation = drawVariation(augmentStream(augmenting), 1, augment, image.width, image.height);
    vary(plain.data, expected, [1, 8, 8], variation, 'edge');
    expect([...whole.data.subarray(64, 128)]).toEqual([...expected]);
    expect([...expected]).not.toEqual([...plain.data]);
  });

  it('are not varied unless asked', async () => {
    const { records: images } = records({ augment: { flipHorizontal: true, shift: 0.3 } });
    const { records: plain } = records();
    expect([...(await images.load(rows)).data]).toEqual([...(await plain.load(rows)).data]);
  });
});
