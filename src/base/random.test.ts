import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normalQuantile, portableLog } from './normal-quantile.ts';
import { randomStream, type RandomStream } from './random.ts';

interface Vectors {
  seed: number | { hex: string };
  purpose: string;
  place: (number | string)[];
  words: string[];
  wordsOfRow7: string[];
  lastWord: string;
  uniform: number[];
  normal: number[];
  integer: Record<string, number[]>;
  permutation: number[];
  mask: Record<string, string>;
}
const golden = JSON.parse(readFileSync(new URL('golden/random.json', import.meta.url), 'utf8')) as {
  streams: Vectors[];
  quantiles: [number, number][];
};

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function streamOf(vectors: Vectors): RandomStream {
  const { seed } = vectors;
  const bytes = typeof seed === 'number' ? seed : Uint8Array.from(Buffer.from(seed.hex, 'hex'));
  return randomStream(bytes, vectors.purpose, vectors.place);
}

describe('the golden vectors of docs/RANDOM.md', () => {
  test.each(golden.streams)('purpose $purpose, place $place', (vectors) => {
    const stream = streamOf(vectors);
    const hex = (word: number) => word.toString(16).padStart(8, '0');
    expect(range(6).map((i) => hex(stream.word(i)))).toEqual(vectors.words);
    expect(range(6).map((i) => hex(stream.word(i, 7)))).toEqual(vectors.wordsOfRow7);
    expect(hex(stream.word(2 ** 34 - 1, 2 ** 32 - 1))).toBe(vectors.lastWord);
    expect(range(6).map((i) => stream.uniform(i))).toEqual(vectors.uniform);
    expect(range(64).map((i) => stream.normal(i))).toEqual(vectors.normal);
    for (const [bound, values] of Object.entries(vectors.integer)) {
      expect(range(8).map((i) => stream.integer(Number(bound), i, 3))).toEqual(values);
    }
    expect([...stream.permutation(10)]).toEqual(vectors.permutation);
    for (const [keep, bits] of Object.entries(vectors.mask)) {
      const mask = new Uint8Array(140);
      stream.fillMask(mask, 70, Number(keep), 4);
      expect(mask.subarray(70).join('')).toBe(bits);
    }
  });
});

describe('addressing', () => {
  test('a filled range equals its values one by one, from any first index and row', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 20 }), fc.nat({ max: 50 }), fc.nat({ max: 2 ** 31 - 1 }), (first, length, row) => {
        const stream = randomStream(3, 'test');
        const uniform = new Float64Array(length);
        const normal = new Float64Array(length);
        stream.fillUniform(uniform, first, row);
        stream.fillNormal(normal, first, row);
        expect([...uniform]).toEqual(range(length).map((i) => stream.uniform(first + i, row)));
        expect([...normal]).toEqual(range(length).map((i) => stream.normal(first + i, row)));
      }),
    );
  });

  test('a mask of many rows is the masks of its rows, whatever is computed before', () => {
    for (const keep of [0.5, 0.9, 0.25, 0.125]) {
      const stream = randomStream(3, 'test', [1]);
      const whole = new Uint8Array(5 * 37);
      stream.fillMask(whole, 37, keep, 10);
      for (const row of [4, 0, 3, 1, 2]) {
        const one = new Uint8Array(37);
        stream.fillMask(one, 37, keep, 10 + row);
        expect(one).toEqual(whole.subarray(37 * row, 37 * (row + 1)));
      }
    }
  });

  test('any change of seed, purpose or place changes the stream', () => {
    const names: Parameters<typeof randomStream>[] = [
      [1, 'a', [1, 2]],
      [2, 'a', [1, 2]],
      [1, 'b', [1, 2]],
      [1, 'a', [2, 1]],
      [1, 'a', [1]],
      [1, 'a', [1, 2, 0]],
      [1, 'a', ['1', 2]],
      [1, 'a', [1, 2 + 2 ** 32]],
      [1, 'a', ['12']],
      [1, 'a', ['1', '2']],
      [1, 'a1', [2]],
      [new Uint8Array(8), 'a', [1, 2]],
      [new Uint8Array(9), 'a', [1, 2]],
      [0, 'a', [1, 2]],
    ];
    expect(new Set(names.map((name) => randomStream(...name).word(0))).size).toBe(names.length);
  });

  test('refuses what cannot be addressed', () => {
    expect(() => randomStream(-1, 'a')).toThrow('internal');
    expect(() => randomStream(2 ** 53, 'a')).toThrow('internal');
    expect(() => randomStream(1, 'a', [0.5])).toThrow('internal');
    expect(() => randomStream(new Uint8Array(7), 'a')).toThrow('internal');
    const stream = randomStream(1, 'a');
    expect(() => stream.word(2 ** 34)).toThrow('internal');
    expect(() => stream.word(0, 2 ** 32)).toThrow('internal');
    expect(() => stream.integer(0, 1)).toThrow('internal');
    expect(() => stream.fillMask(new Uint8Array(4), 3, 0.5)).toThrow('internal');
    expect(() => stream.fillMask(new Uint8Array(4), 4, 1.1)).toThrow('internal');
  });
});

describe('distributions', () => {
  // Fixed seeds: each bound is about four standard errors, so a sound generator passes and a wrong scale or bias does not.
  test('uniform values have the moments of U(0, 1) and stay below 1 in float32', () => {
    const values = new Float32Array(200_000);
    randomStream(5, 'uniform').fillUniform(values);
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const square = values.reduce((sum, x) => sum + x * x, 0) / values.length;
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 12 / values.length));
    expect(Math.abs(square - 1 / 3)).toBeLessThan(4 * Math.sqrt(4 / 45 / values.length));
    expect(values.every((x) => x >= 0 && x < 1)).toBe(true);
  });

  test('normal values have the first four moments and the tails of N(0, 1)', () => {
    const values = new Float64Array(200_000);
    randomStream(5, 'normal').fillNormal(values);
    const moment = (power: number) => values.reduce((sum, x) => sum + x ** power, 0) / values.length;
    const error = (variance: number) => 4 * Math.sqrt(variance / values.length);
    expect(Math.abs(moment(1))).toBeLessThan(error(1));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(error(2));
    expect(Math.abs(moment(3))).toBeLessThan(error(15));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(error(96));
    const beyond3 = values.filter((x) => Math.abs(x) > 3).length / values.length;
    expect(Math.abs(beyond3 - 0.0026998)).toBeLessThan(error(0.0027));
  });

  test('neighbouring rows, indices and streams are uncorrelated', () => {
    const count = 100_000;
    const a = new Float64Array(count + 1);
    const b = new Float64Array(count + 1);
    const c = new Float64Array(count + 1);
    randomStream(5, 'normal', [0]).fillNormal(a, 0, 0);
    randomStream(5, 'normal', [0]).fillNormal(b, 0, 1);
    randomStream(5, 'normal', [1]).fillNormal(c, 0, 0);
    const correlation = (x: Float64Array, y: Float64Array) =>
      range(count).reduce((sum, i) => sum + x[i]! * y[i]!, 0) / count;
    for (const r of [correlation(a, b), correlation(a, c), correlation(a, a.subarray(1))]) {
      expect(Math.abs(r)).toBeLessThan(4 / Math.sqrt(count));
    }
  });

  test('integers below a bound are equally likely, also where a plain product would be biased', () => {
    const stream = randomStream(5, 'integer');
    const counts = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 60_000; i++) counts[stream.integer(6, i)]! += 1;
    // Chi-square with 5 degrees of freedom: 20.5 is its 0.999 quantile.
    expect(counts.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0)).toBeLessThan(20.5);
    // With 3·2^30 a plain product gives a multiple of 3 half of the time.
    const multiples = range(60_000).filter((i) => stream.integer(3 * 2 ** 30, i) % 3 === 0).length;
    expect(Math.abs(multiples - 20_000)).toBeLessThan(4 * Math.sqrt((60_000 * 2) / 9));
  });

  test('all 24 orders of four are equally likely', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const order = randomStream(5, 'order').permutation(4, i).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    // Chi-square with 23 degrees of freedom: 49.7 is its 0.999 quantile.
    expect([...counts.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(49.7);
  });

  test('permutations hold each number once; of nothing, nothing', () => {
    const order = randomStream(5, 'order').permutation(1000);
    expect([...order].sort((x, y) => x - y)).toEqual(range(1000));
    expect(randomStream(5, 'order').permutation(0)).toHaveLength(0);
  });

  test.each([0, 0.1, 0.25, 0.5, 0.75, 0.8, 1])('a mask keeps elements with probability %f', (keep) => {
    const mask = new Uint8Array(200_000);
    randomStream(5, 'mask').fillMask(mask, 1000, keep);
    const kept = mask.reduce((sum, x) => sum + x, 0) / mask.length;
    expect(Math.abs(kept - keep)).toBeLessThanOrEqual(4 * Math.sqrt((keep * (1 - keep)) / mask.length));
    expect(mask.every((x) => x === 0 || x === 1)).toBe(true);
  });
});

describe('normalQuantile', () => {
  test('equals scipy.special.ndtri to 1e-14 relative, in the middle and far out', () => {
    for (const [word, expected] of golden.quantiles) {
      const p = (word + 0.5) * 2 ** -32;
      const z = normalQuantile(p - 0.5, p);
      expect(Math.abs(z / expected - 1)).toBeLessThan(1e-14);
      expect(normalQuantile(0.5 - p, p)).toBe(-z);
    }
  });

  test('its logarithm is within 2 units in the last place of Math.log', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -60, max: 2 ** 60, noNaN: true }), (x) => {
        const expected = Math.log(x);
        expect(Math.abs(portableLog(x) - expected)).toBeLessThanOrEqual(2 ** -51 * Math.abs(expected));
      }),
    );
  });
});

test('docs/RANDOM.md shows the golden vectors', () => {
  const page = readFileSync(new URL('../../docs/RANDOM.md', import.meta.url), 'utf8');
  const [first, , third] = golden.streams;
  for (const words of [first!.words, first!.wordsOfRow7, third!.words]) expect(page).toContain(words.join(' '));
  for (const values of [first!.normal.slice(0, 4), third!.normal.slice(0, 4), first!.uniform.slice(0, 4)]) {
    expect(page).toContain(values.join(' '));
  }
  expect(page).toContain(first!.permutation.join(' '));
  for (const keep of ['0.5', '0.8']) expect(page).toContain(first!.mask[keep]!.slice(0, 32));
});
