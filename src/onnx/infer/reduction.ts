// Reductions over axes. The axes are an attribute in older operator sets and input 1 in newer ones (ReduceSum from 13, the others from 18).

import type { Dim } from '../graph.ts';
import { type Call, type Inference, floatTypes, numericTypes } from './call.ts';
import { productOfDims } from './dims.ts';

function reduced(dims: readonly Dim[], axes: readonly number[], keep: boolean): readonly Dim[] {
  return keep
    ? dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
    : dims.filter((_, axis) => !axes.includes(axis));
}

function reduce(call: Call): readonly { readonly dtype: ReturnType<Call['dtype']>; readonly dims: readonly Dim[] }[] {
  const { dtype, dims } = call.typed(0, [...numericTypes, 'bool']);
  const given = call.integers('axes', 1) ?? [];
  if (given.length === 0 && call.int('noop_with_empty_axes', 0) !== 0) return [{ dtype, dims }];
  const axes = given.length === 0 ? [...dims.keys()] : given.map((axis) => call.axis(axis, dims.length));
  return [{ dtype, dims: reduced(dims, axes, call.int('keepdims', 1) !== 0) }];
}

const product: Inference = (call) => {
  const known = floatTypes.includes(call.dtype(0)) ? undefined : call.elements(0);
  return reduce(call).map((type) => {
    const whole = known && productOfDims(type.dims) === 1;
    return { ...type, ...(whole && { elements: [productOfDims(known)] }) };
  });
};

const arg: Inference = (call) => {
  const { dims } = call.typed(0, numericTypes);
  const axis = call.axis(call.int('axis', 0), dims.length);
  return [{ dtype: 'int64', dims: reduced(dims, [axis], call.int('keepdims', 1) !== 0) }];
};

const plain = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSum', 'ReduceLogSumExp']; // prettier-ignore

export const reduction: Readonly<Record<string, Inference>> = {
  ...Object.fromEntries(plain.map((op) => [op, reduce satisfies Inference])),
  ReduceProd: product,
  ArgMax: arg,
  ArgMin: arg,
};
