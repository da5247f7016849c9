// What the rules that add up gradients over records in float64 have in common.

import type { Dim } from '../../onnx/index.ts';
import { elementCount } from '../../tensor/index.ts';

const fewWeightsMax = 1 << 14;

/** Whether weights of this shape are so few that a gradient for each record, or a product in float64, costs little: a first layer's. */
export function fewWeights(dims: readonly Dim[]): boolean {
  return dims.every((dim) => typeof dim === 'number') && elementCount(dims) <= fewWeightsMax;
}
