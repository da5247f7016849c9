// A tensor as a plain value: element type, dimensions, row-major data. No operations: ONNX graphs compute, this only carries.

import { assert } from '../base/index.ts';

/** The element types that Septum's graphs use, by ONNX's names. */
export const dtypes = [
  'float32',
  'float64',
  'float16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
] as const;
export type DType = (typeof dtypes)[number];

/** The array that holds each element type. float16 is kept as its bits; bool as 0 and 1. */
export interface ArrayOf {
  float32: Float32Array<ArrayBuffer>;
  float64: Float64Array<ArrayBuffer>;
  float16: Uint16Array<ArrayBuffer>;
  int8: Int8Array<ArrayBuffer>;
  uint8: Uint8Array<ArrayBuffer>;
  int16: Int16Array<ArrayBuffer>;
  uint16: Uint16Array<ArrayBuffer>;
  int32: Int32Array<ArrayBuffer>;
  uint32: Uint32Array<ArrayBuffer>;
  int64: BigInt64Array<ArrayBuffer>;
  uint64: BigUint64Array<ArrayBuffer>;
  bool: Uint8Array<ArrayBuffer>;
}

/** A value of `dims.reduce(×)` elements in row-major order. `dims` of `[]` is a scalar. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: ArrayOf[D];
}

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}

/** The number of elements of a shape; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  let count = 1;
  for (const dim of dims) count *= dim;
  return count;
}

/** A new zero-filled array of `length` elements. */
export function allocate<D extends DType>(dtype: D, length: number): ArrayOf[D] {
  return new constructors[dtype](length) as ArrayOf[D];
}

/** An array of `dtype` over existing bytes, without a copy. `byteOffset` must be a multiple of the element's size. */
export function viewBytes<D extends DType>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): ArrayOf[D] {
  return new constructors[dtype](buffer, byteOffset, length) as ArrayOf[D];
}

/** The bytes of a tensor's data, without a copy. */
export function bytesOf(tensor: Tensor): Uint8Array<ArrayBuffer> {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/** A tensor over `data` (not copied); the number of elements must match. */
export function tensor<D extends DType>(dtype: D, dims: readonly number[], data: ArrayOf[D]): Tensor<D> {
  assert(data.length === elementCount(dims), `tensor of [${dims.join(', ')}] holds ${data.length} elements`);
  return { dtype, dims, data };
}

/** A new tensor of zeros. */
export function zeros<D extends DType>(dtype: D, dims: readonly number[]): Tensor<D> {
  return { dtype, dims, data: allocate(dtype, elementCount(dims)) };
}

/** A float32 tensor of the given numbers (copied); `dims` defaults to one dimension. */
export function float32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor<'float32'> {
  return tensor('float32', dims, Float32Array.from(values));
}

/** An int64 tensor of the given integers; `dims` defaults to one dimension. ONNX gives shapes, axes and indices so. */
export function int64(values: readonly number[], dims: readonly number[] = [values.length]): Tensor<'int64'> {
  return tensor(
    'int64',
    dims,
    BigInt64Array.from(values, (value) => BigInt(value)),
  );
}

/** A deep copy with a buffer of its own. */
export function cloneTensor<D extends DType>(source: Tensor<D>): Tensor<D> {
  return { dtype: source.dtype, dims: [...source.dims], data: source.data.slice() as ArrayOf[D] };
}
