// ONNX's numbers for element types (TensorProto.DataType), which files and Cast's `to` attribute use.

import type { DType } from '../tensor/index.ts';

const codes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

const dtypes = new Map(Object.entries(codes).map(([dtype, code]) => [code, dtype as DType]));

/** ONNX's number of an element type, as in Cast's `to`. */
export function codeOfDType(dtype: DType): number {
  return codes[dtype];
}

/** The element type with ONNX's number `code`, or undefined when Septum has none such (strings, bfloat16, float8, …). */
export function dtypeOfCode(code: number): DType | undefined {
  return dtypes.get(code);
}
