// Integers that are known before the graph runs, moved about as an operator moves them. PyTorch's exports compute the arguments of Reshape,
// Pad and Slice this way, over several dimensions.

import type { Dim } from '../graph.ts';

/** Elements of a value that are followed at most: no shape has nearly as many, and a small file can ask for any number. */
export const followedMost = 4096;

/**
 * The elements of an output of shape `dims`, each taken from the place in an input of shape `from` that `source` gives for its own.
 * undefined where a shape is symbolic, or there are too many.
 */
export function moveElements(
  elements: readonly Dim[],
  from: readonly Dim[],
  dims: readonly Dim[],
  source: (place: readonly number[]) => readonly number[],
): readonly Dim[] | undefined {
  const sizes = dims.filter((dim) => typeof dim === 'number');
  const fromSizes = from.filter((dim) => typeof dim === 'number');
  if (sizes.length !== dims.length || fromSizes.length !== from.length) return undefined;
  const count = sizes.reduce((product, size) => product * size, 1);
  if (!(count <= followedMost)) return undefined;
  const result: Dim[] = [];
  for (let index = 0; index < count; index++) {
    const place: number[] = [];
    let rest = index;
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      const size = sizes[axis] ?? 1;
      place.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    const at = source(place).reduce((offset, step, axis) => offset * (fromSizes[axis] ?? 1) + step, 0);
    const element = elements[at];
    if (element === undefined) return undefined;
    result.push(element);
  }
  return result;
}
