// Operators whose output follows from attributes or from shapes: Constant, ConstantOfShape, Range, Shape, Size.

import { float32, int64, tensor, type Tensor } from '../../tensor/index.ts';
import type { Dim, Node } from '../graph.ts';
import { type Inference, numericTypes } from './call.ts';
import { formatDims, productOfDims } from './dims.ts';

/** A Constant node's tensor, or undefined when it is given in a form that Septum does not read (sparse, strings). */
export function tensorOfConstant(node: Node): Tensor | undefined {
  const { value, value_float: one, value_floats: many, value_int: whole, value_ints: wholes } = node.attributes;
  if (value?.kind === 'tensor') return value.value;
  if (one?.kind === 'float') return float32([one.value], []);
  if (many?.kind === 'floats') return float32(many.value);
  if (whole?.kind === 'int') return int64([whole.value], []);
  if (wholes?.kind === 'ints') return int64(wholes.value);
  return undefined;
}

/** The elements of a small tensor, as shape inference follows them; undefined for larger ones and types that no shape is made of. */
export function elementsOfTensor(value: Tensor): readonly number[] | undefined {
  if (value.data.length > 1024 || !['int64', 'int32', 'float32', 'bool'].includes(value.dtype)) return undefined;
  return Array.from(value.data as ArrayLike<number | bigint>, Number);
}

const constant: Inference = (call) => {
  const value =
    tensorOfConstant(call.node) ?? call.fail('a value', Object.keys(call.node.attributes).join(', ') || 'none');
  const elements = elementsOfTensor(value);
  return [{ dtype: value.dtype, dims: value.dims, ...(elements && { elements }) }];
};

const constantOfShape: Inference = (call) => {
  const dims = call.knownElements(0);
  if (dims.some((dim) => typeof dim === 'number' && dim < 0)) call.fail('sizes of at least 0', formatDims(dims));
  const attribute = call.attribute('value');
  const value: Tensor = attribute?.kind === 'tensor' ? attribute.value : tensor('float32', [1], new Float32Array(1));
  const fill = elementsOfTensor(value)?.[0];
  const count = productOfDims(dims);
  const elements =
    fill !== undefined && typeof count === 'number' && count <= 64 ? Array<Dim>(count).fill(fill) : undefined;
  return [{ dtype: value.dtype, dims, ...(elements && { elements }) }];
};

/** Range(start, limit, delta): max(ceil((limit - start) / delta), 0) elements; a symbolic limit only from 0 in steps of 1. */
const range: Inference = (call) => {
  const { dtype } = call.typed(0, numericTypes);
  call.sameType(0, 1, 2);
  const bounds = [0, 1, 2].map((index) => {
    return call.knownElements(index)[0] ?? call.fail(`one number in input ${index}`, 'none');
  });
  const [start = 0, limit = 0, delta = 1] = bounds;
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number') {
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    if (!Number.isFinite(count)) call.fail('a delta other than 0', String(delta));
    const whole = dtype === 'int64' && count <= 64;
    return [
      { dtype, dims: [count], ...(whole && { elements: Array.from({ length: count }, (_, i) => start + i * delta) }) },
    ];
  }
  if (start !== 0 || delta !== 1)
    call.fail('a symbolic range from 0 in steps of 1', `${start} to ${limit} by ${delta}`);
  return [{ dtype, dims: [limit] }];
};

const shape: Inference = (call) => {
  const dims = call.dims(0);
  const elements = dims.slice(call.int('start', 0), call.int('end', dims.length));
  return [{ dtype: 'int64', dims: [elements.length], elements }];
};

const size: Inference = (call) => [{ dtype: 'int64', dims: [], elements: [productOfDims(call.dims(0))] }];

export const constants: Readonly<Record<string, Inference>> = {
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Shape: shape,
  Size: size,
};
