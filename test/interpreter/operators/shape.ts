// Operators that only move or make elements: shapes, order, joining, cutting. Source: the ONNX operator specification, opset 21.

import { intAttribute, intsAttribute, textAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import {
  axisOf,
  broadcastDims,
  f64,
  forEachIndex,
  fromTensor,
  positionOf,
  stretched,
  stridesOf,
  type F64Tensor,
} from '../values.ts';
import { input, integersOf, type Call, type Operator } from './call.ts';

/** The same elements under other dimensions. */
function reshaped(value: F64Tensor, dims: readonly number[]): F64Tensor {
  if (elementCount(dims) !== value.data.length)
    throw new Error(`[${value.dims.join(', ')}] cannot be seen as [${dims.join(', ')}]`);
  return { ...value, dims };
}

/** A value of `dims` whose element at each index is the one of `x` at the position that `from` gives. */
function gathered(x: F64Tensor, dims: readonly number[], from: (index: readonly number[]) => number): F64Tensor {
  const y = f64(dims, undefined, x.dtype);
  forEachIndex(dims, (index, flat) => (y.data[flat] = x.data[from(index)]!));
  return y;
}

/** Reshape (opset 14): -1 is what is left over, 0 copies the input's size unless `allowzero`. */
function reshape(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const zeroIsZero = intAttribute(call.node, 'allowzero', 0) === 1;
  const dims = integersOf(call, 1)!.map((size, axis) => (size === 0 && !zeroIsZero ? x.dims[axis]! : size));
  const known = elementCount(dims.filter((size) => size !== -1));
  return [
    reshaped(
      x,
      dims.map((size) => (size === -1 ? x.data.length / known : size)),
    ),
  ];
}

function flatten(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const axis = intAttribute(call.node, 'axis', 1);
  const at = axis < 0 ? axis + x.dims.length : axis;
  return [reshaped(x, [elementCount(x.dims.slice(0, at)), elementCount(x.dims.slice(at))])];
}

function squeeze(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const axes = integersOf(call, 1)?.map((axis) => axisOf(axis, x.dims.length));
  return [
    reshaped(
      x,
      x.dims.filter((dim, axis) => (axes ? !axes.includes(axis) : dim !== 1)),
    ),
  ];
}

function unsqueeze(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const given = integersOf(call, 1)!;
  const rank = x.dims.length + given.length;
  const axes = given.map((axis) => axisOf(axis, rank));
  const rest = [...x.dims];
  return [
    reshaped(
      x,
      Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : rest.shift()!)),
    ),
  ];
}

function transpose(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const order = intsAttribute(call.node, 'perm', x.dims.map((_, axis) => axis).toReversed());
  const strides = stridesOf(x.dims);
  return [
    gathered(
      x,
      order.map((axis) => x.dims[axis]!),
      (index) => order.reduce((position, axis, at) => position + index[at]! * strides[axis]!, 0),
    ),
  ];
}

function concat(call: Call): F64Tensor[] {
  const values = call.inputs.map((_, index) => input(call, index));
  const first = values[0]!;
  const axis = axisOf(intAttribute(call.node, 'axis', 0), first.dims.length);
  const total = values.reduce((sum, value) => sum + value.dims[axis]!, 0);
  const y = f64(first.dims.with(axis, total), undefined, first.dtype);
  const strides = stridesOf(y.dims);
  let offset = 0;
  for (const value of values) {
    forEachIndex(value.dims, (index, flat) => {
      y.data[positionOf(index, strides) + offset * strides[axis]!] = value.data[flat]!;
    });
    offset += value.dims[axis]!;
  }
  return [y];
}

/** Split (opset 18): sizes from input 1, or `num_outputs` equal parts of which the last may be smaller. */
function split(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const axis = axisOf(intAttribute(call.node, 'axis', 0), x.dims.length);
  const parts = intAttribute(call.node, 'num_outputs', call.node.outputs.length);
  const each = Math.ceil(x.dims[axis]! / parts);
  const sizes =
    integersOf(call, 1) ?? Array.from({ length: parts }, (_, part) => Math.min(each, x.dims[axis]! - part * each));
  const strides = stridesOf(x.dims);
  let offset = 0;
  return sizes.map((size) => {
    const start = offset * strides[axis]!;
    offset += size;
    return gathered(x, x.dims.with(axis, size), (index) => start + positionOf(index, strides));
  });
}

/** Slice (opset 13): starts and ends are clamped to the axis, and steps may go backwards. */
function slice(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const [starts, ends] = [integersOf(call, 1)!, integersOf(call, 2)!];
  const axes = (integersOf(call, 3) ?? starts.map((_, axis) => axis)).map((axis) => axisOf(axis, x.dims.length));
  const steps = integersOf(call, 4) ?? starts.map(() => 1);
  const dims = [...x.dims];
  const from = x.dims.map(() => 0);
  const step = x.dims.map(() => 1);
  axes.forEach((axis, at) => {
    const size = x.dims[axis]!;
    const fromEnd = (position: number): number => (position < 0 ? position + size : position);
    const [low, high] = steps[at]! > 0 ? [0, size] : [-1, size - 1];
    const clamp = (position: number): number => Math.min(Math.max(position, low), high);
    const start = steps[at]! > 0 ? clamp(fromEnd(starts[at]!)) : Math.max(clamp(fromEnd(starts[at]!)), 0);
    from[axis] = start;
    step[axis] = steps[at]!;
    dims[axis] = Math.max(Math.ceil((clamp(fromEnd(ends[at]!)) - start) / steps[at]!), 0);
  });
  const strides = stridesOf(x.dims);
  return [
    gathered(x, dims, (index) =>
      index.reduce((position, i, axis) => position + (from[axis]! + i * step[axis]!) * strides[axis]!, 0),
    ),
  ];
}

/** Where padding reads along an axis of `size`: inside, or nowhere (undefined) for a constant. */
function paddedPosition(position: number, size: number, mode: string): number | undefined {
  if (position >= 0 && position < size) return position;
  if (mode === 'edge') return position < 0 ? 0 : size - 1;
  if (mode === 'wrap') return ((position % size) + size) % size;
  if (mode === 'reflect') {
    const period = 2 * (size - 1);
    const folded = ((position % period) + period) % period;
    return folded < size ? folded : period - folded;
  }
  if (mode !== 'constant') throw new Error(`Pad mode ${mode} is not interpreted`);
  return undefined;
}

/** Pad (opset 21): negative pads crop. */
function pad(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const rank = x.dims.length;
  const mode = textAttribute(call.node, 'mode', 'constant');
  const pads = integersOf(call, 1)!;
  const fill = call.inputs[2]?.data[0] ?? 0;
  const axes = integersOf(call, 3)?.map((axis) => axisOf(axis, rank)) ?? x.dims.map((_, axis) => axis);
  const before = x.dims.map(() => 0);
  const dims = [...x.dims];
  axes.forEach((axis, at) => {
    before[axis] = pads[at]!;
    dims[axis]! += pads[at]! + pads[at + axes.length]!;
  });
  const strides = stridesOf(x.dims);
  const y = f64(dims, undefined, x.dtype);
  forEachIndex(dims, (index, flat) => {
    const read = index.map((i, axis) => paddedPosition(i - before[axis]!, x.dims[axis]!, mode));
    y.data[flat] = read.includes(undefined) ? fill : x.data[positionOf(read as number[], strides)]!;
  });
  return [y];
}

function expand(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const dims = broadcastDims(x.dims, integersOf(call, 1)!);
  return [f64(dims, stretched(x, dims), x.dtype)];
}

function tile(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const repeats = integersOf(call, 1)!;
  const strides = stridesOf(x.dims);
  return [
    gathered(
      x,
      x.dims.map((dim, axis) => dim * repeats[axis]!),
      (index) => index.reduce((position, i, axis) => position + (i % x.dims[axis]!) * strides[axis]!, 0),
    ),
  ];
}

function shape(call: Call): F64Tensor[] {
  const { dims } = input(call, 0);
  const part = dims.slice(
    intAttribute(call.node, 'start', 0),
    call.node.attributes['end'] ? intAttribute(call.node, 'end', 0) : undefined,
  );
  return [f64([part.length], part, 'int64')];
}

function constant(call: Call): F64Tensor[] {
  const [entry] = Object.values(call.node.attributes);
  switch (entry?.kind) {
    case 'tensor':
      return [fromTensor(entry.value)];
    case 'float':
      return [f64([], [entry.value])];
    case 'floats':
      return [f64([entry.value.length], entry.value)];
    case 'int':
      return [f64([], [entry.value], 'int64')];
    case 'ints':
      return [f64([entry.value.length], entry.value, 'int64')];
    default:
      throw new Error(`node ${call.node.name}: a Constant of this kind is not interpreted`);
  }
}

function constantOfShape(call: Call): F64Tensor[] {
  const attribute = call.node.attributes['value'];
  const value = attribute?.kind === 'tensor' ? fromTensor(attribute.value) : f64([1]);
  const dims = integersOf(call, 0)!;
  return [f64(dims, new Float64Array(elementCount(dims)).fill(value.data[0]!), value.dtype)];
}

function range(call: Call): F64Tensor[] {
  const [start, limit, delta] = [0, 1, 2].map((index) => input(call, index).data[0]!) as [number, number, number];
  const length = Math.max(Math.ceil((limit - start) / delta), 0);
  return [
    f64(
      [length],
      Array.from({ length }, (_, i) => start + i * delta),
      input(call, 0).dtype,
    ),
  ];
}

/** Trilu (opset 14): the upper or lower triangle of each matrix, shifted by the diagonal in input 1. */
function trilu(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const shift = call.inputs[1]?.data[0] ?? 0;
  const upper = intAttribute(call.node, 'upper', 1) === 1;
  const y = f64(x.dims, x.data, x.dtype);
  forEachIndex(x.dims, (index, flat) => {
    const beyond = index.at(-1)! - index.at(-2)! - shift;
    if (upper ? beyond < 0 : beyond > 0) y.data[flat] = 0;
  });
  return [y];
}

/** DepthToSpace (opset 13): channels `[b·b·C]` (DCR) or `[C·b·b]` (CRD) become blocks of b by b pixels. */
function depthToSpace(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const block = intAttribute(call.node, 'blocksize', 1);
  const depthFirst = textAttribute(call.node, 'mode', 'DCR') === 'DCR';
  const [n, channels, height, width] = x.dims as [number, number, number, number];
  const outputs = channels / block ** 2;
  const strides = stridesOf(x.dims);
  return [
    gathered(x, [n, outputs, height * block, width * block], (index) => {
      const [record, c, row, column] = index as [number, number, number, number];
      const inBlock = (row % block) * block + (column % block);
      const channel = depthFirst ? inBlock * outputs + c : c * block ** 2 + inBlock;
      return positionOf([record, channel, Math.floor(row / block), Math.floor(column / block)], strides);
    }),
  ];
}

/** SpaceToDepth (opset 13): blocks of b by b pixels become channels `[b·b·C]`. */
function spaceToDepth(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const block = intAttribute(call.node, 'blocksize', 1);
  const [n, channels, height, width] = x.dims as [number, number, number, number];
  const strides = stridesOf(x.dims);
  return [
    gathered(x, [n, channels * block ** 2, height / block, width / block], (index) => {
      const [record, channel, row, column] = index as [number, number, number, number];
      const inBlock = Math.floor(channel / channels);
      const [down, right] = [Math.floor(inBlock / block), inBlock % block];
      return positionOf([record, channel % channels, row * block + down, column * block + right], strides);
    }),
  ];
}

export const shapes: Readonly<Record<string, Operator>> = {
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Expand: expand,
  Tile: tile,
  Shape: shape,
  Size: (call) => [f64([], [input(call, 0).data.length], 'int64')],
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Trilu: trilu,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
};
