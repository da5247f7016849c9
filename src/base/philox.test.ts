import { describe, expect, test } from 'vitest';
import { philox4x32 } from './philox.ts';

// The known answers that the authors of the paper publish with their implementation (Random123, kat_vectors, philox4x32 10).
const knownAnswers = [
  {
    counter: [0, 0, 0, 0],
    key: [0, 0],
    words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
] as const;

const mask = 0xffffffffn;

/** The same function written with big integers, straight from the paper. */
function philoxByBigInt(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const product0 = 0xd2511f53n * c0;
    const product1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(product1 >> 32n) ^ c1 ^ k0, product1 & mask, (product0 >> 32n) ^ c3 ^ k1, product0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}

describe('philox4x32', () => {
  test.each(knownAnswers)('gives the published words for counter $counter', ({ counter, key, words }) => {
    const out = new Uint32Array(4);
    const [c0, c1, c2, c3] = counter;
    philox4x32(c0, c1, c2, c3, key[0], key[1], out);
    expect([...out]).toEqual([...words]);
  });

  test('equals a big-integer version on ten thousand chained counters', () => {
    const out = new Uint32Array([1, 2, 3, 4]);
    for (let i = 0; i < 10_000; i++) {
      const counter = [...out];
      const key = [out[3]! ^ i, out[0]!].map((word) => word >>> 0);
      philox4x32(counter[0]!, counter[1]!, counter[2]!, counter[3]!, key[0]!, key[1]!, out);
      expect([...out]).toEqual(philoxByBigInt(counter, key));
    }
  });

  test('takes signed and unsigned words alike', () => {
    const signed = new Uint32Array(4);
    const unsigned = new Uint32Array(4);
    philox4x32(-1, -2, -3, -4, -5, -6, signed);
    philox4x32(0xffffffff, 0xfffffffe, 0xfffffffd, 0xfffffffc, 0xfffffffb, 0xfffffffa, unsigned);
    expect(signed).toEqual(unsigned);
  });
});
