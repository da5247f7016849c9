// Gradients of AveragePool (ONNX 19), GlobalAveragePool and GlobalMaxPool.

import { int, intAttribute, intsAttribute } from '../../onnx/index.ts';
import { range } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { transposedConvolution } from './convolution.ts';
import { product, spatialSizes, taps, windowsOf, type Windows } from './window.ts';

/** Each element of a window gets dy / (elements that the window counted); overlapping windows add up. */
export const averagePoolRule: Rule = ({ node, ops, gradient, refuse }) => {
  const x = node.inputs[0]!;
  const windows = windowsOf(node, intsAttribute(node, 'kernel_shape', []), ops.dims(x), ops.dims(gradient));
  if (!windows) return refuse('its spatial sizes must be known');
  const counts = elementsCounted(windows, intAttribute(node, 'count_include_pad', 0) === 1);
  const shares = ops.constant(
    counts.map((count) => 1 / count),
    windows.outputSizes,
  );
  const alone = ops.reshape(ops.mul(gradient, shares), [-1, 1, ...windows.outputSizes]);
  const ones = ops.constant(new Float32Array(product(windows.kernel)).fill(1), [1, 1, ...windows.kernel]);
  return [ops.reshapeLike(transposedConvolution(ops, alone, ones, windows, 1), x)];
};

/**
 * What each window divides by, row-major over the output: the taps over data, with count_include_pad also those over the stated
 * padding, but never those that ceil_mode reaches beyond it.
 */
function elementsCounted(windows: Windows, includePad: boolean): number[] {
  const { kernel, strides, dilations, padsBegin, padsEnd, inputSizes, outputSizes } = windows;
  const perAxis = kernel.map((size, axis) =>
    range(outputSizes[axis]!).map((at) => {
      const low = includePad ? -padsBegin[axis]! : 0;
      const high = inputSizes[axis]! + (includePad ? padsEnd[axis]! : 0);
      const first = at * strides[axis]! - padsBegin[axis]!;
      return range(size).filter((tap) => {
        const place = first + tap * dilations[axis]!;
        return place >= low && place < high;
      }).length;
    }),
  );
  return taps(outputSizes).map((place) => product(place.map((at, axis) => perAxis[axis]![at]!)));
}

/** y = the mean over space: dy shared equally. */
export const globalAveragePoolRule: Rule = ({ node, ops, gradient, refuse }) => {
  const x = node.inputs[0]!;
  const sizes = spatialSizes(ops.dims(x));
  if (!sizes) return refuse('its spatial sizes must be known');
  return [ops.expandLike(ops.scale(gradient, 1 / product(sizes)), x)];
};

/** y = the maximum over space: dy to the first maximum in row-major order, as for MaxPool. */
export const globalMaxPoolRule: Rule = ({ node, ops, builder, gradient, refuse }) => {
  const x = node.inputs[0]!;
  const sizes = spatialSizes(ops.dims(x));
  if (!sizes) return refuse('its spatial sizes must be known');
  const count = product(sizes);
  const flat = ops.reshape(x, [0, 0, count]);
  const first = builder.add('ArgMax', [flat], { axis: int(2), keepdims: int(1) });
  const places = ops.builder.integers(range(count));
  const hits = ops.indicator('Equal', first, places);
  return [ops.reshapeLike(ops.mul(hits, ops.reshape(gradient, [0, 0, 1])), x)];
};
