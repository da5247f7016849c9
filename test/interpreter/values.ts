// The values of the float64 interpreter. Whatever element type a graph declares, the numbers are kept as float64; the declared
// type is remembered because operators ask for it (an integer division truncates).

import { allocate, elementCount, tensor, type DType, type Tensor } from '../../src/tensor/index.ts';

/** Row-major numbers in float64, with the element type that the graph declares for them. Integers are whole numbers, booleans 0 and 1. */
export interface F64Tensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

/** A value of the given shape; the numbers (copied) must be as many as the shape says. Without numbers it is all zeros. */
export function f64(dims: readonly number[], numbers?: ArrayLike<number>, dtype: DType = 'float32'): F64Tensor {
  const count = elementCount(dims);
  if (numbers && numbers.length !== count)
    throw new Error(`a value of [${dims.join(', ')}] holds ${count} elements, not ${numbers.length}`);
  return { dtype, dims: [...dims], data: numbers ? new Float64Array(numbers) : new Float64Array(count) };
}

/** The float64 value of a tensor. Exact for every type but 64-bit integers beyond 2^53; float16 is refused. */
export function fromTensor(source: Tensor): F64Tensor {
  if (source.dtype === 'float16') throw new Error('the interpreter does not read float16');
  return { dtype: source.dtype, dims: source.dims, data: Float64Array.from(source.data as ArrayLike<number>, Number) };
}

/** The tensor of the declared element type, rounded to it. */
export function toTensor(value: F64Tensor): Tensor {
  const data = allocate(value.dtype, value.data.length);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array)
    value.data.forEach((number, index) => (data[index] = BigInt(number)));
  else data.set(value.data);
  return tensor(value.dtype, value.dims, data);
}

/** Whether the element type is an integer (not a boolean). */
export function isInteger(dtype: DType): boolean {
  return dtype.startsWith('int') || dtype.startsWith('uint');
}

/** Elements between neighbours along each axis of a row-major array. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = dims.map(() => 1);
  for (let axis = dims.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * dims[axis + 1]!;
  return strides;
}

/** Visits every index of a shape in row-major order. `index` is one array that changes in place; `flat` counts from 0. */
export function forEachIndex(dims: readonly number[], visit: (index: readonly number[], flat: number) => void): void {
  const count = elementCount(dims);
  const index = dims.map(() => 0);
  for (let flat = 0; flat < count; flat++) {
    visit(index, flat);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis] = index[axis]! + 1;
      if (index[axis]! < dims[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** The row-major position of an index. */
export function positionOf(index: readonly number[], strides: readonly number[]): number {
  let position = 0;
  for (let axis = 0; axis < strides.length; axis++) position += index[axis]! * strides[axis]!;
  return position;
}

/** An axis counted from the front. Throws when the rank does not have it. */
export function axisOf(axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  if (result < 0 || result >= Math.max(rank, 1)) throw new Error(`axis ${axis} is outside rank ${rank}`);
  return result;
}

/** ONNX's multidirectional broadcasting: the shape that all the given shapes stretch to. */
export function broadcastDims(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const shape of shapes) {
      const dim = shape[axis - (rank - shape.length)] ?? 1;
      if (dim === 1) continue;
      if (size !== 1 && size !== dim)
        throw new Error(`shapes do not broadcast: ${shapes.map((each) => `[${each.join(', ')}]`).join(', ')}`);
      size = dim;
    }
    return size;
  });
}

/** The value's numbers stretched to `dims`, which its shape must broadcast to. */
export function stretched(value: F64Tensor, dims: readonly number[]): Float64Array {
  if (value.dims.length === dims.length && value.dims.every((dim, axis) => dim === dims[axis])) return value.data;
  const lead = dims.length - value.dims.length;
  const own = stridesOf(value.dims);
  const strides = dims.map((_, axis) => (axis < lead || value.dims[axis - lead] === 1 ? 0 : own[axis - lead]!));
  const result = new Float64Array(elementCount(dims));
  forEachIndex(dims, (index, flat) => (result[flat] = value.data[positionOf(index, strides)]!));
  return result;
}
