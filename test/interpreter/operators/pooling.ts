// MaxPool (opset 12 to 22), AveragePool (opset 19 to 22) and the global forms (opset 1).

import { intAttribute, intsAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import { f64, forEachIndex, positionOf, stridesOf, type F64Tensor } from '../values.ts';
import { input, type Call, type Operator } from './call.ts';
import { readPosition, windowOf } from './window.ts';

/** MaxPool: Y, and Indices: the row-major position in X of the first maximum of each window. Padding never wins. */
function maxPool(call: Call): F64Tensor[] {
  const x = input(call, 0);
  if (intAttribute(call.node, 'storage_order', 0) !== 0)
    throw new Error(`node ${call.node.name}: column-major Indices are not interpreted`);
  const size = x.dims.slice(2);
  const window = windowOf(call.node, size, intsAttribute(call.node, 'kernel_shape', []));
  const strides = stridesOf(size);
  const dims = [x.dims[0]!, x.dims[1]!, ...window.output];
  const y = f64(dims);
  const indices = f64(dims, undefined, 'int64');
  const [xPlane, yPlane] = [elementCount(size), elementCount(window.output)];
  for (let plane = 0; plane < x.dims[0]! * x.dims[1]!; plane++)
    forEachIndex(window.output, (place, placeFlat) => {
      let best = -Infinity;
      let bestAt = -1;
      forEachIndex(window.kernel, (tap) => {
        const read = size.map((_, axis) => readPosition(window, axis, place[axis]!, tap[axis]!));
        if (read.some((at, axis) => at < 0 || at >= size[axis]!)) return;
        const position = plane * xPlane + positionOf(read, strides);
        if (bestAt >= 0 && x.data[position]! <= best) return;
        best = x.data[position]!;
        bestAt = position;
      });
      y.data[plane * yPlane + placeFlat] = best;
      indices.data[plane * yPlane + placeFlat] = bestAt;
    });
  return [y, indices];
}

/**
 * AveragePool: the mean over the elements of a window that lie inside the input, or with `count_include_pad` inside the padded
 * input. What `ceil_mode` adds beyond the padding never counts.
 */
function averagePool(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const size = x.dims.slice(2);
  const window = windowOf(call.node, size, intsAttribute(call.node, 'kernel_shape', []));
  const withPadding = intAttribute(call.node, 'count_include_pad', 0) === 1;
  const strides = stridesOf(size);
  const y = f64([x.dims[0]!, x.dims[1]!, ...window.output]);
  const [xPlane, yPlane] = [elementCount(size), elementCount(window.output)];
  for (let plane = 0; plane < x.dims[0]! * x.dims[1]!; plane++)
    forEachIndex(window.output, (place, placeFlat) => {
      let sum = 0;
      let count = 0;
      forEachIndex(window.kernel, (tap) => {
        const read = size.map((_, axis) => readPosition(window, axis, place[axis]!, tap[axis]!));
        const inside = read.every((at, axis) => at >= 0 && at < size[axis]!);
        const padded = read.every((at, axis) => at >= -window.begin[axis]! && at < size[axis]! + window.end[axis]!);
        if (inside) sum += x.data[plane * xPlane + positionOf(read, strides)]!;
        if (withPadding ? padded : inside) count++;
      });
      y.data[plane * yPlane + placeFlat] = sum / count;
    });
  return [y];
}

/** Reduces each channel's whole plane to one element. */
function globalPool(reduce: (plane: Float64Array) => number): Operator {
  return (call) => {
    const x = input(call, 0);
    const size = elementCount(x.dims.slice(2));
    const y = f64([x.dims[0]!, x.dims[1]!, ...x.dims.slice(2).map(() => 1)]);
    for (let plane = 0; plane < y.data.length; plane++)
      y.data[plane] = reduce(x.data.subarray(plane * size, (plane + 1) * size));
    return [y];
  };
}

export const pooling: Readonly<Record<string, Operator>> = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool((plane) => plane.reduce((sum, element) => sum + element, 0) / plane.length),
  GlobalMaxPool: globalPool((plane) => Math.max(...plane)),
};
