import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { augmentStream, drawVariation, vary, type Variation } from './augment.ts';
import { augmentSettings } from './image-settings.ts';

const still: Variation = {
  flipHorizontal: false,
  flipVertical: false,
  shiftX: 0,
  shiftY: 0,
  angle: 0,
  brightness: 0,
  contrast: 1,
};
// 3 rows of 4.
const image = Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 0, 0.05);

function varied(
  change: Partial<Variation>,
  fill: 'edge' | 'reflect' | 'zero' = 'edge',
  source = image,
  dims: readonly [number, number, number] = [1, 3, 4],
): number[] {
  const out = new Float32Array(source.length).fill(NaN);
  vary(source, out, dims, { ...still, ...change }, fill);
  return Array.from(out, (value) => Math.round(value * 1e4) / 1e4);
}

describe('a varied image', () => {
  it('is itself where nothing is drawn', () => {
    expect(varied({})).toEqual(Array.from(image, (value) => Math.round(value * 1e4) / 1e4));
  });

  it('is flipped', () => {
    expect(varied({ flipHorizontal: true }).slice(0, 4)).toEqual([0.4, 0.3, 0.2, 0.1]);
    expect(varied({ flipVertical: true }).slice(0, 4)).toEqual([0.9, 1, 0, 0.05]);
  });

  it('is shifted right and down, with edge pixels, mirrored pixels or zeros from outside', () => {
    expect(varied({ shiftX: 2 }).slice(0, 4)).toEqual([0.1, 0.1, 0.1, 0.2]);
    expect(varied({ shiftX: 2 }, 'reflect').slice(0, 4)).toEqual([0.3, 0.2, 0.1, 0.2]);
    expect(varied({ shiftX: 2 }, 'zero').slice(0, 4)).toEqual([0, 0, 0.1, 0.2]);
    expect(varied({ shiftX: -1 }).slice(0, 4)).toEqual([0.2, 0.3, 0.4, 0.4]);
    expect(varied({ shiftY: 1 }, 'zero')).toEqual([0, 0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
    expect(varied({ shiftY: -1 }).slice(8)).toEqual([0.9, 1, 0, 0.05]);
  });

  it('is flipped first, then shifted', () => {
    expect(varied({ flipHorizontal: true, shiftX: 1 }).slice(0, 4)).toEqual([0.4, 0.4, 0.3, 0.2]);
  });

  it('turns anticlockwise about its centre', () => {
    const square = Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9);
    expect(varied({ angle: Math.PI / 2 }, 'zero', square, [1, 3, 3])).toEqual([
      0.3, 0.6, 0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7,
    ]);
  });

  it('with a rotation is flipped and shifted as without one, and each channel alike', () => {
    const dims = [2, 6, 5] as const;
    const source = Float32Array.from({ length: 60 }, (_, index) => ((index * 7) % 60) / 60);
    const bool = fc.boolean();
    const shift = fc.integer({ min: -7, max: 7 });
    fc.assert(
      fc.property(bool, bool, shift, shift, fc.constantFrom('edge', 'reflect', 'zero'), (x, y, dx, dy, fill) => {
        const change = { flipHorizontal: x, flipVertical: y, shiftX: dx, shiftY: dy };
        expect(varied({ ...change, angle: 2 * Math.PI }, fill, source, dims)).toEqual(
          varied(change, fill, source, dims),
        );
      }),
    );
  });

  it('interpolates between pixels', () => {
    // A linear ramp stays a linear ramp of the turned coordinate.
    const dims = [1, 9, 9] as const;
    const ramp = Float32Array.from({ length: 81 }, (_, index) => (index % 9) / 10);
    const angle = 0.2;
    const out = varied({ angle }, 'edge', ramp, dims);
    for (let y = 3; y < 6; y++)
      for (let x = 3; x < 6; x++)
        expect(out[9 * y + x]).toBeCloseTo((4 + Math.cos(angle) * (x - 4) - Math.sin(angle) * (y - 4)) / 10, 3);
  });

  it('changes contrast about its mean, then brightness, and stays within 0 … 1', () => {
    const source = Float32Array.of(0.2, 0.4, 0.6, 0.8);
    expect(varied({ contrast: 0.5 }, 'edge', source, [1, 2, 2])).toEqual([0.35, 0.45, 0.55, 0.65]);
    expect(varied({ brightness: 0.3 }, 'edge', source, [1, 2, 2])).toEqual([0.5, 0.7, 0.9, 1]);
    expect(varied({ brightness: -0.3 }, 'edge', source, [1, 2, 2])).toEqual([0, 0.1, 0.3, 0.5]);
  });
});

describe('a variation', () => {
  const place = { studySeed: 5, siteIndex: 1, epoch: 2, batchIndex: 3 };
  const settings = augmentSettings.parse({
    flipHorizontal: true,
    flipVertical: true,
    shift: 0.1,
    rotateDegrees: 10,
    brightness: 0.2,
    contrast: 0.3,
  });
  const drawn = Array.from({ length: 2000 }, (_, row) => drawVariation(augmentStream(place), row, settings, 64, 32));

  it('is a function of seed, site, epoch, batch and row', () => {
    expect(drawVariation(augmentStream({ ...place }), 7, settings, 64, 32)).toEqual(drawn[7]);
    expect(drawn[8]).not.toEqual(drawn[7]);
    for (const key of ['studySeed', 'siteIndex', 'epoch', 'batchIndex'] as const) {
      const other = augmentStream({ ...place, [key]: place[key] + 1 });
      expect(drawVariation(other, 7, settings, 64, 32)).not.toEqual(drawn[7]);
    }
  });

  it('keeps to its bounds and reaches them', () => {
    const range = (of: (variation: Variation) => number) => {
      const values = drawn.map(of);
      return [Math.min(...values), Math.max(...values)] as const;
    };
    expect(range(({ shiftX }) => shiftX)).toEqual([-6, 6]);
    expect(range(({ shiftY }) => shiftY)).toEqual([-3, 3]);
    for (const [of, most, middle] of [
      [({ angle }: Variation) => angle, Math.PI / 18, 0],
      [({ brightness }: Variation) => brightness, 0.2, 0],
      [({ contrast }: Variation) => contrast, 0.3, 1],
    ] as const) {
      const [low, high] = range(of);
      expect(low - middle).toBeGreaterThanOrEqual(-most);
      expect(high - middle).toBeLessThanOrEqual(most);
      expect(high - low).toBeGreaterThan(1.95 * most);
    }
    const flips = drawn.filter(({ flipHorizontal }) => flipHorizontal).length;
    expect(Math.abs(flips - 1000)).toBeLessThan(4 * Math.sqrt(500));
  });

  it('does not change one thing because another is switched on', () => {
    const flipsOnly = augmentSettings.parse({ flipHorizontal: true });
    for (let row = 0; row < 20; row++)
      expect(drawVariation(augmentStream(place), row, flipsOnly, 64, 32)).toEqual({
        ...still,
        flipHorizontal: drawn[row]?.flipHorizontal,
      });
  });
});
