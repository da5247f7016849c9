// Operators that give the same elements another shape or order.

import type { Dim } from '../graph.ts';
import type { Inference } from './call.ts';
import { divideDims, formatDims, productOfDims } from './dims.ts';
import { moveElements } from './follow.ts';

/** Reshape, opset 14: 0 copies a dimension (unless allowzero), one -1 takes what is left. */
const reshape: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const target = call.node.attributes['shape'] ? call.ints('shape', []) : call.knownElements(1);
  const copyZeros = call.int('allowzero', 0) === 0;
  const free = target.indexOf(-1);
  if (target.filter((dim) => typeof dim === 'number' && dim < 0).length > (free < 0 ? 0 : 1))
    call.fail('at most one -1 and no other negative size', formatDims(target));
  const result = target.map((dim, axis): Dim => {
    if (dim !== 0 || !copyZeros) return dim;
    return dims[axis] ?? call.fail(`a dimension ${axis} to copy`, formatDims(dims));
  });
  const total = productOfDims(dims);
  if (free >= 0) {
    const rest = productOfDims(result.filter((_, axis) => axis !== free));
    result[free] =
      divideDims(total, rest) ??
      call.fail(`a shape that holds ${total} elements`, `${formatDims(target)} for ${formatDims(dims)}`);
  } else if (productOfDims(result) !== total) {
    call.fail(`a shape that holds ${total} elements`, `${formatDims(target)} for ${formatDims(dims)}`);
  }
  const elements = call.elements(0);
  return [{ dtype, dims: result, ...(elements && { elements }) }];
};

const flatten: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const axis = call.axis(call.int('axis', 1), dims.length, true);
  return [{ dtype, dims: [productOfDims(dims.slice(0, axis)), productOfDims(dims.slice(axis))] }];
};

const transpose: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const order = call.ints('perm', [...dims.keys()].toReversed());
  if (order.length !== dims.length || new Set(order).size !== dims.length || order.some((axis) => !(axis in dims)))
    call.fail(`a perm of ${dims.length} axes`, formatDims(order));
  const result = order.map((axis) => dims[axis] ?? 0);
  const known = call.elements(0);
  const elements =
    known && moveElements(known, dims, result, (place) => dims.map((_, axis) => place[order.indexOf(axis)] ?? 0));
  return [{ dtype, dims: result, ...(elements && { elements }) }];
};

const squeeze: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const given = call.integers('axes', 1)?.map((axis) => call.axis(axis, dims.length));
  const axes = given ?? [...dims.keys()].filter((axis) => dims[axis] === 1);
  for (const axis of axes) if (dims[axis] !== 1) call.fail(`a dimension ${axis} of size 1`, formatDims(dims));
  const elements = call.elements(0);
  return [{ dtype, dims: dims.filter((_, axis) => !axes.includes(axis)), ...(elements && { elements }) }];
};

const unsqueeze: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const given = call.integers('axes', 1) ?? call.fail('axes', 'none');
  const rank = dims.length + given.length;
  const axes = given.map((axis) => call.axis(axis, rank));
  if (new Set(axes).size !== axes.length) call.fail('axes that differ', formatDims(given));
  const rest = [...dims];
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) result.push(axes.includes(axis) ? 1 : (rest.shift() ?? 1));
  const elements = call.elements(0);
  return [{ dtype, dims: result, ...(elements && { elements }) }];
};

const blockOf = (blocksize: number): number => blocksize * blocksize;

const depthToSpace: Inference = (call) => {
  const block = call.int('blocksize', 0);
  const [batch = 0, channels = 0] = call.ranked(0, 4);
  const depth =
    (block > 0 ? divideDims(channels, blockOf(block)) : undefined) ??
    call.fail(`channels that ${block} * ${block} divides`, formatDims(call.dims(0)));
  return [{ dtype: call.dtype(0), dims: [batch, depth, call.size(0, 2) * block, call.size(0, 3) * block] }];
};

const spaceToDepth: Inference = (call) => {
  const block = call.int('blocksize', 0);
  const [batch = 0] = call.ranked(0, 4);
  const height = call.size(0, 2);
  const width = call.size(0, 3);
  if (block < 1 || height % block !== 0 || width % block !== 0)
    call.fail(`height and width that ${block} divides`, formatDims(call.dims(0)));
  return [{ dtype: call.dtype(0), dims: [batch, call.size(0, 1) * blockOf(block), height / block, width / block] }];
};

export const reshaping: Readonly<Record<string, Inference>> = {
  Reshape: reshape,
  Flatten: flatten,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
};
