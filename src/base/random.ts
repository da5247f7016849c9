// Counted random values: each is a function of (seed, purpose, integers, row, index), so any process can compute any of them at
// any time and in any order. docs/RANDOM.md states the layout; its vectors are checked by random.test.ts.

import { assert } from './errors.ts';
import { sha256 } from './hash.ts';
import { normalQuantile } from './normal-quantile.ts';
import { philox4x32 } from './philox.ts';

/** A study seed, an integer 0 … 2^53 - 1; or a site's secret of 8 … 32 bytes. A number and bytes never give the same stream. */
export type Seed = number | Uint8Array;

const twoTo32 = 4294967296;
const text = new TextEncoder();
const layoutBytes = text.encode('septum random 1');

/**
 * The stream of a seed, a purpose and the integers (or texts) that place it, such as [layer, site, epoch, batch]. Two streams that
 * differ in any of these are independent. One stream serves one kind of draw: uniform, normal, mask and so on read the same words.
 */
export function randomStream(seed: Seed, purpose: string, place: readonly (number | string)[] = []): RandomStream {
  const digest = sha256(encodeStreamName(seed, purpose, place));
  const words = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return new RandomStream(words.getInt32(0), words.getInt32(4), words.getInt32(8), words.getInt32(12));
}

/**
 * Values by row and index. A row is an address of its own (a record of a batch, say); both count from 0 and are below 2^32.
 * Word i of a row is word i mod 4 of the Philox block with counter (floor(i / 4), row, c2, c3).
 */
export class RandomStream {
  readonly #k0: number;
  readonly #k1: number;
  readonly #c2: number;
  readonly #c3: number;
  readonly #block = new Uint32Array(4);

  constructor(k0: number, k1: number, c2: number, c3: number) {
    this.#k0 = k0;
    this.#k1 = k1;
    this.#c2 = c2;
    this.#c3 = c3;
  }

  /** Word `index` of a row: an integer 0 … 2^32 - 1. */
  word(index: number, row = 0): number {
    this.#compute(index, row);
    return this.#block[index & 3]!;
  }

  /** A value in [0, 1): the upper 24 bits of the word, times 2^-24, so it is exact in float32. */
  uniform(index: number, row = 0): number {
    return (this.word(index, row) >>> 8) * 2 ** -24;
  }

  /** A standard normal value, at most 6.34 in size: the normal quantile of (word + 1/2)·2^-32. The same bits on every machine. */
  normal(index: number, row = 0): number {
    return normalOf(this.word(index, row));
  }

  /** An integer 0 … bound - 1, each equally likely (1 <= bound <= 2^32). D. Lemire's multiply-and-reject, arXiv 1805.10941. */
  integer(bound: number, index: number, row = 0): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= twoTo32, `integer bound ${bound}`);
    // word·bound = high·2^32 + low; high is uniform once low < 2^32 mod bound is rejected. An index has a block, so four tries; then
    // that block is the counter of the next one.
    const block = this.#block;
    this.#compute(4 * index, row);
    for (;;) {
      for (let attempt = 0; attempt < 4; attempt++) {
        const word = block[attempt]!;
        const low = Math.imul(word, bound) >>> 0;
        if (low >= bound || low >= twoTo32 % bound) return highOfProduct(word, bound);
      }
      philox4x32(block[0]!, block[1]!, block[2]!, block[3]!, this.#k0, this.#k1, block);
    }
  }

  /** Fills `out` with the uniform values `first`, `first` + 1, … of a row. */
  fillUniform(out: Float32Array | Float64Array, first = 0, row = 0): void {
    for (let i = 0; i < out.length; i++) {
      const index = first + i;
      if (i === 0 || (index & 3) === 0) this.#compute(index, row);
      out[i] = (this.#block[index & 3]! >>> 8) * 2 ** -24;
    }
  }

  /** Fills `out` with the normal values `first`, `first` + 1, … of a row (rounded to float32 where `out` is). */
  fillNormal(out: Float32Array | Float64Array, first = 0, row = 0): void {
    for (let i = 0; i < out.length; i++) {
      const index = first + i;
      if (i === 0 || (index & 3) === 0) this.#compute(index, row);
      out[i] = normalOf(this.#block[index & 3]!);
    }
  }

  /**
   * Fills `out` with whole rows of `rowLength` zeros and ones, from row `firstRow` on: 1 (kept) with `keepProbability`. An element
   * takes the least of 1, 2, 4, 8 or 16 bits for which keepProbability·2^bits is whole; with none, 16, and the probability is rounded
   * to a multiple of 2^-16. It is kept when its bits, as a number, are below keepProbability·2^bits. Elements fill a row's words in
   * order, from the lowest bit.
   */
  fillMask(out: Uint8Array, rowLength: number, keepProbability: number, firstRow = 0): void {
    assert(rowLength >= 1 && out.length % rowLength === 0, `mask of ${out.length} in rows of ${rowLength}`);
    const bits = maskBits(keepProbability);
    const keepBelow = Math.round(keepProbability * 2 ** bits);
    const lowest = 2 ** bits - 1;
    const elementsPerWord = 32 / bits;
    const block = this.#block;
    for (let start = 0, row = firstRow; start < out.length; start += rowLength, row++) {
      const end = start + rowLength;
      for (let at = start, index = 0; at < end; index++) {
        if ((index & 3) === 0) this.#compute(index, row);
        let word = block[index & 3]! | 0;
        const wordEnd = Math.min(at + elementsPerWord, end);
        for (; at < wordEnd; at++) {
          out[at] = ((word & lowest) - keepBelow) >>> 31; // 1 where negative, without a branch
          word >>>= bits;
        }
      }
    }
  }

  /** The integers 0 … count - 1 in an order drawn equally likely from all: Fisher-Yates from the end, swap i takes `integer(i + 1, i)`. */
  permutation(count: number, row = 0): Int32Array<ArrayBuffer> {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1, i, row);
      const kept = order[i]!;
      order[i] = order[j]!;
      order[j] = kept;
    }
    return order;
  }

  #compute(wordIndex: number, row: number): void {
    assert(wordIndex >= 0 && row >= 0 && row < twoTo32 && wordIndex < 4 * twoTo32, `row ${row}, word ${wordIndex}`);
    philox4x32(Math.floor(wordIndex / 4), row, this.#c2, this.#c3, this.#k0, this.#k1, this.#block);
  }
}

/** The upper 32 of the 64 bits of word·bound. */
function highOfProduct(word: number, bound: number): number {
  const lowPart = (word & 0xffff) * bound;
  return Math.floor(((word >>> 16) * bound + Math.floor(lowPart / 65536)) / 65536);
}

function maskBits(keepProbability: number): number {
  assert(keepProbability >= 0 && keepProbability <= 1, `keep probability ${keepProbability}`);
  for (const bits of [1, 2, 4, 8]) if (Number.isInteger(keepProbability * 2 ** bits)) return bits;
  return 16;
}

function normalOf(word: number): number {
  // Both are exact: 33 bits. The tail is 1/2 - |q|.
  const p = (word + 0.5) * 2 ** -32;
  return normalQuantile(p - 0.5, p < 0.5 ? p : 1 - p);
}

/** The bytes whose SHA-256 gives the key and the upper half of the counter: the layout's name, then each item with its kind and size. */
function encodeStreamName(seed: Seed, purpose: string, place: readonly (number | string)[]): Uint8Array {
  if (typeof seed !== 'number') assert(seed.length >= 8 && seed.length <= 32, 'a secret seed has 8 to 32 bytes');
  const bytes = [...layoutBytes];
  appendItem(bytes, seed);
  appendItem(bytes, purpose);
  for (const item of place) appendItem(bytes, item);
  return Uint8Array.from(bytes);
}

function appendItem(bytes: number[], item: number | string | Uint8Array): void {
  if (typeof item === 'number') {
    assert(Number.isSafeInteger(item) && item >= 0, `a random stream is placed by integers from 0, got ${item}`);
    bytes.push(1);
    appendWord(bytes, Math.floor(item / twoTo32));
    appendWord(bytes, item % twoTo32);
    return;
  }
  const content = typeof item === 'string' ? text.encode(item) : item;
  bytes.push(typeof item === 'string' ? 2 : 3);
  appendWord(bytes, content.length);
  for (const byte of content) bytes.push(byte);
}

function appendWord(bytes: number[], word: number): void {
  bytes.push((word >>> 24) & 255, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
}
