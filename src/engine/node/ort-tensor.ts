// Between Septum's tensors and ONNX Runtime's: both are views of the same bytes, nothing is copied.

import { Tensor as OrtTensor } from 'onnxruntime-node';
import { EngineError } from '../../base/index.ts';
import { dtypes, viewBytes, type DType, type Tensor } from '../../tensor/index.ts';

const known: ReadonlySet<string> = new Set(dtypes);

/** ONNX Runtime's tensor over the same bytes. */
export function toOrt(value: Tensor): OrtTensor {
  return new OrtTensor(value.dtype, value.data, value.dims);
}

/** Our tensor over the same bytes. Throws EngineError `run-failed` for an element type that Septum does not have (strings). */
export function fromOrt(value: OrtTensor): Tensor {
  if (!known.has(value.type))
    throw new EngineError('run-failed', `an output holds ${value.type}, which is no element type of Septum`);
  const dtype = value.type as DType;
  // float16 comes as Float16Array where the platform has one; Septum keeps its bits.
  const data = value.data as Float32Array<ArrayBuffer>;
  return { dtype, dims: value.dims, data: viewBytes(dtype, data.buffer, data.byteOffset, data.length) };
}
