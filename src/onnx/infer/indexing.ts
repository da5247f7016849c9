// Operators that pick or place elements by index.

import type { Dim } from '../graph.ts';
import { type Inference, integerTypes, numericTypes } from './call.ts';
import { formatDims } from './dims.ts';

const indexTypes = ['int32', 'int64'] as const;

const gather: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  const indices = call.typed(1, indexTypes).dims;
  const axis = call.axis(call.int('axis', 0), dims.length);
  const known = dims.length === 1 ? call.elements(0) : undefined;
  const picks = call.elements(1);
  const elements = known && picks?.map((pick) => (typeof pick === 'number' ? known.at(pick) : undefined));
  const complete = elements?.filter((element) => element !== undefined);
  return [
    {
      dtype,
      dims: [...dims.slice(0, axis), ...indices, ...dims.slice(axis + 1)],
      ...(complete && complete.length === elements?.length && { elements: complete }),
    },
  ];
};

const gatherElements: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  call.typed(1, indexTypes);
  call.axis(call.int('axis', 0), dims.length);
  return [{ dtype, dims: call.ranked(1, dims.length) }];
};

const gatherND: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  const indices = call.typed(1, ['int64']) && call.ranked(1, 1, true);
  const batch = call.int('batch_dims', 0);
  const depth = call.size(1, indices.length - 1);
  if (batch < 0 || batch >= indices.length || batch + depth > dims.length)
    call.fail(`indices of at most ${dims.length - batch} axes`, formatDims(indices));
  for (let axis = 0; axis < batch; axis++)
    if (dims[axis] !== indices[axis])
      call.fail(`indices with the batch dimensions of ${formatDims(dims)}`, formatDims(indices));
  return [{ dtype, dims: [...indices.slice(0, -1), ...dims.slice(batch + depth)] }];
};

const scatterElements: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  call.typed(1, indexTypes);
  call.sameType(0, 2);
  call.axis(call.int('axis', 0), dims.length);
  const indices = call.ranked(1, dims.length);
  if (formatDims(indices) !== formatDims(call.dims(2)))
    call.fail(`updates of ${formatDims(indices)}`, formatDims(call.dims(2)));
  return [{ dtype, dims }];
};

const scatterND: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  call.sameType(0, 2);
  const indices = call.typed(1, ['int64']) && call.ranked(1, 1, true);
  const depth = call.size(1, indices.length - 1);
  const expected: readonly Dim[] = [...indices.slice(0, -1), ...dims.slice(depth)];
  if (depth > dims.length || formatDims(expected) !== formatDims(call.dims(2)))
    call.fail(`updates of ${formatDims(expected)}`, formatDims(call.dims(2)));
  return [{ dtype, dims }];
};

const oneHot: Inference = (call) => {
  const dims = call.typed(0, numericTypes).dims;
  const axis = call.axis(call.int('axis', -1), dims.length + 1);
  const depth = call.knownElements(1)[0] ?? call.fail('a depth of one element', 'none');
  return [{ dtype: call.dtype(2), dims: dims.toSpliced(axis, 0, depth) }];
};

const topK: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  const axis = call.axis(call.int('axis', -1), dims.length);
  const count = call.knownElements(1)[0] ?? call.fail('a k of one element', 'none');
  const picked = dims.with(axis, count);
  return [
    { dtype, dims: picked },
    { dtype: 'int64', dims: picked },
  ];
};

const cumSum: Inference = (call) => {
  call.typed(1, integerTypes);
  return [{ ...call.type(0) }];
};

const trilu: Inference = (call) => {
  call.ranked(0, 2, true);
  return [{ ...call.type(0) }];
};

export const indexing: Readonly<Record<string, Inference>> = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  OneHot: oneHot,
  TopK: topK,
  CumSum: cumSum,
  Trilu: trilu,
};
