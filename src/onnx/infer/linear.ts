// Matrix products: Gemm (two dimensions) and MatMul (as numpy.matmul).

import type { Dim } from '../graph.ts';
import { type Inference, floatTypes, numericTypes } from './call.ts';
import { broadcastDims, formatDims, sameDims } from './dims.ts';

const gemm: Inference = (call) => {
  const { dtype } = call.typed(0, [...floatTypes, 'int32', 'int64', 'uint32', 'uint64']);
  call.sameType(0, 1, 2);
  const a = call.ranked(0, 2);
  const b = call.ranked(1, 2);
  const [rows = 0, inner = 0] = call.int('transA', 0) === 0 ? a : a.toReversed();
  const [innerOfB = 0, columns = 0] = call.int('transB', 0) === 0 ? b : b.toReversed();
  if (inner !== innerOfB) call.fail(`a second matrix of ${inner} rows`, `${formatDims(b)} after ${formatDims(a)}`);
  const dims = [rows, columns];
  if (call.has(2)) {
    const sum = broadcastDims(dims, call.dims(2));
    if (!sum || !sameDims(sum, dims))
      call.fail(`an input 2 that broadcasts to ${formatDims(dims)}`, formatDims(call.dims(2)));
  }
  return [{ dtype, dims }];
};

const matMul: Inference = (call) => {
  const { dtype } = call.typed(0, numericTypes);
  call.sameType(0, 1);
  const a = call.ranked(0, 1, true);
  const b = call.ranked(1, 1, true);
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (left.at(-1) !== right.at(-2))
    call.fail(`a second matrix of ${left.at(-1)} rows`, `${formatDims(b)} after ${formatDims(a)}`);
  const stack =
    broadcastDims(left.slice(0, -2), right.slice(0, -2)) ??
    call.fail(`stacks of matrices that broadcast with ${formatDims(a)}`, formatDims(b));
  const dims: Dim[] = [...stack];
  if (a.length > 1) dims.push(left.at(-2) ?? 0);
  if (b.length > 1) dims.push(right.at(-1) ?? 0);
  return [{ dtype, dims }];
};

export const linear: Readonly<Record<string, Inference>> = { Gemm: gemm, MatMul: matMul };
