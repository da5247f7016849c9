// The orders in which an image's pixels can stand in rows. A tile's places are its phases: all tiles' first places stand together, then all
// their second ones, so that a transform, which combines places, is one matrix product.

import { tile } from './transforms.ts';

/** Where the pixels of an image of `height` x `width` stand. */
export interface Order {
  /** Equal for equal orders of images of one size. */
  readonly key: string;
  readonly height: number;
  readonly width: number;
  rowOf(y: number, x: number): number;
  /** For tiles' phases only: which place of its tile (row-major) each of the 16 phases is. */
  readonly phases?: readonly number[];
}

/** Pixels of one phase of squares of `side` together; `side` 1 is row-major order. */
export function phased(side: number, height: number, width: number): Order {
  const across = width / side;
  const squares = (height / side) * across;
  return {
    key: `phases of ${side}`,
    height,
    width,
    rowOf: (y, x) => ((y % side) * side + (x % side)) * squares + Math.floor(y / side) * across + Math.floor(x / side),
    ...(side === tile && { phases: Array.from({ length: tile * tile }, (_, at) => at) }),
  };
}

/** As phases of a tile, the four places of a pool's 2 x 2 windows apart: all first places, then all second ones. */
export function windowed(height: number, width: number): Order {
  const half = tile / 2;
  const across = width / tile;
  const tiles = (height / tile) * across;
  const phase = (y: number, x: number): number =>
    (((y % 2) * 2 + (x % 2)) * half + (Math.floor(y / 2) % half)) * half + (Math.floor(x / 2) % half);
  const phases = Array.from({ length: tile * tile }, () => 0);
  for (let y = 0; y < tile; y++) for (let x = 0; x < tile; x++) phases[phase(y, x)] = y * tile + x;
  return {
    key: 'windows',
    height,
    width,
    rowOf: (y, x) => phase(y, x) * tiles + Math.floor(y / tile) * across + Math.floor(x / tile),
    phases,
  };
}

/** For each row of `to`, the row of `from` that holds the same pixel. */
export function between(from: Order, to: Order): Int32Array<ArrayBuffer> {
  const rows = new Int32Array(from.height * from.width);
  for (let y = 0; y < from.height; y++) for (let x = 0; x < from.width; x++) rows[to.rowOf(y, x)] = from.rowOf(y, x);
  return rows;
}
