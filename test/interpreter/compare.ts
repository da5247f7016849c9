// How far two values are apart.

import type { Feed } from './interpret.ts';

/**
 * The largest difference over the largest absolute value of `expected` (or over `scale`, if that is larger). Infinite when a
 * number of either is not finite or the shapes differ.
 */
export function largestDifference(got: Feed, expected: Feed, scale = 1e-3): number {
  if (got.dims.length !== expected.dims.length || got.dims.some((dim, axis) => dim !== expected.dims[axis]))
    return Infinity;
  let [difference, largest] = [0, scale];
  for (let i = 0; i < expected.data.length; i++) {
    const distance = Math.abs(got.data[i]! - expected.data[i]!);
    if (!Number.isFinite(distance)) return Infinity;
    difference = Math.max(difference, distance);
    largest = Math.max(largest, Math.abs(expected.data[i]!));
  }
  return difference / largest;
}
