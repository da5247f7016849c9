import { describe, expect, it } from 'vitest';
import { piecesOf } from './pieces.ts';

const cut = (cutDims: readonly number[]) => ({ network: { cutDims } }) as unknown as Parameters<typeof piecesOf>[0];
/** 65 kB a record: 16 records make a message. */
const image = cut([16, 32, 32]);

describe('the pieces of a batch', () => {
  it('end where the server’s units end, over all sites’ records', () => {
    expect(piecesOf(image, 0, 45)).toEqual([
      { from: 0, count: 16 },
      { from: 16, count: 16 },
      { from: 32, count: 13 },
    ]);
    expect(piecesOf(image, 45, 13)).toEqual([
      { from: 0, count: 3 },
      { from: 3, count: 10 },
    ]);
    expect(piecesOf(image, 58, 6)).toEqual([{ from: 0, count: 6 }]);
  });

  it('are one where records are small, and whole units of enough bytes where they are in between', () => {
    expect(piecesOf(cut([50]), 7, 500)).toEqual([{ from: 0, count: 500 }]);
    // 4 kB a record: 33 of them are 128 KiB, 48 are the next whole units.
    expect(piecesOf(cut([1000]), 0, 60).map(({ count }) => count)).toEqual([48, 12]);
  });

  it.each([1, 15, 16, 17, 96])('cover a batch of %i records in order', (count) => {
    let next = 0;
    for (const piece of piecesOf(image, 5, count)) {
      expect(piece.from).toBe(next);
      expect(piece.count).toBeGreaterThan(0);
      next += piece.count;
    }
    expect(next).toBe(count);
  });
});
