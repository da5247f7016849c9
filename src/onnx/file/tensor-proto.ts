// Tensors of a file: TensorProto to Tensor and back. Written tensors always use raw_data (little-endian, row-major).

import { create } from '@bufbuild/protobuf';
import { EngineError } from '../../base/index.ts';
import { allocate, bytesOf, bytesPerElement, elementCount, viewBytes } from '../../tensor/index.ts';
import type { ArrayOf, DType, Tensor } from '../../tensor/index.ts';
import { codeOfDType, dtypeOfCode } from '../data-type.ts';
import { type TensorProto, TensorProtoSchema } from '../gen/onnx_pb.ts';

/** Element types of ONNX that Septum does not have, for the message that refuses them. */
const foreignTypes: Readonly<Record<number, string>> = {
  8: 'string',
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  21: 'uint4',
  22: 'int4',
  23: 'float4e2m1',
  24: 'float8e8m0',
};

const rankMax = 16;
const sizeMax = 2 ** 40;

export function badFile(message: string, cause?: unknown): EngineError {
  return new EngineError('bad-model-file', `model file: ${message}`, { cause });
}

/** The element type with ONNX's number `code`. Throws EngineError `bad-model-file` that names the type and where it stood. */
export function readDType(code: number, where: string): DType {
  const dtype = dtypeOfCode(code);
  if (dtype) return dtype;
  throw badFile(`${where} has the element type ${foreignTypes[code] ?? `number ${code}`}, which Septum does not read`);
}

/** A size of a tensor, as a safe number of at least 0. */
export function readSize(value: bigint, where: string): number {
  if (value < 0n || value > BigInt(sizeMax)) throw badFile(`${where} has a dimension of ${value}`);
  return Number(value);
}

function readDims(proto: TensorProto, where: string): number[] {
  if (proto.dims.length > rankMax) throw badFile(`${where} has ${proto.dims.length} dimensions; at most ${rankMax}`);
  return proto.dims.map((dim) => readSize(dim, where));
}

/** The tensor of a TensorProto, in memory of its own. Throws EngineError `bad-model-file`; `where` names it in the message. */
export function readTensor(proto: TensorProto, where: string): Tensor {
  if (proto.dataLocation !== 0 || proto.externalData.length > 0)
    throw badFile(`${where} keeps its data in another file (external data); save the model as one file`);
  const dtype = readDType(proto.dataType, where);
  const dims = readDims(proto, where);
  const count = elementCount(dims);
  const typed = typedData(proto, dtype);
  if (proto.rawData.byteLength > 0 || typed.length === 0) {
    if (typed.length > 0) throw badFile(`${where} has both raw_data and typed data`);
    const bytes = proto.rawData;
    if (bytes.byteLength !== count * bytesPerElement(dtype))
      throw badFile(
        `${where} holds ${bytes.byteLength} bytes of data; ${dtype} [${dims.join(', ')}] needs ${count * bytesPerElement(dtype)}`,
      );
    const copy = new Uint8Array(bytes);
    return { dtype, dims, data: checkBool(viewBytes(dtype, copy.buffer, 0, count), dtype, where) };
  }
  if (typed.length !== count)
    throw badFile(`${where} holds ${typed.length} elements; [${dims.join(', ')}] needs ${count}`);
  const data = allocate(dtype, count);
  for (let index = 0; index < count; index++) data[index] = typed[index] ?? 0;
  return { dtype, dims, data: checkBool(data, dtype, where) };
}

function checkBool<D extends DType>(data: ArrayOf[D], dtype: D, where: string): ArrayOf[D] {
  if (dtype === 'bool' && (data as Uint8Array).some((value) => value > 1))
    throw badFile(`${where} holds a bool that is neither 0 nor 1`);
  return data;
}

/** The field that holds a type's elements when raw_data does not (TensorProto's comments in onnx.proto). */
function typedData(proto: TensorProto, dtype: DType): readonly (number | bigint)[] {
  switch (dtype) {
    case 'float32':
      return proto.floatData;
    case 'float64':
      return proto.doubleData;
    case 'int64':
      return proto.int64Data;
    case 'uint32':
      return proto.uint64Data.map(Number);
    case 'uint64':
      return proto.uint64Data;
    case 'float16':
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'bool':
      return proto.int32Data;
  }
}

/** A TensorProto over the tensor's bytes (not copied). */
export function writeTensor(value: Tensor, name: string): TensorProto {
  return create(TensorProtoSchema, {
    dims: value.dims.map(BigInt),
    dataType: codeOfDType(value.dtype),
    ...(name !== '' && { name }),
    rawData: bytesOf(value),
  });
}
