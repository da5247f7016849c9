// Operators that join, cut, repeat or extend: Concat, Split, Slice, Pad, Tile, Expand, Resize.

import type { Dim } from '../graph.ts';
import type { Call, Inference } from './call.ts';
import { addDims, broadcastDims, divideDims, formatDims, multiplyDims } from './dims.ts';
import { followedMost, moveElements } from './follow.ts';

const concat: Inference = (call) => {
  const dims = [...call.ranked(0, 1, true)];
  const dtype = call.sameType(...call.node.inputs.keys());
  const axis = call.axis(call.int('axis', 0), dims.length);
  let elements = axis === 0 ? call.elements(0) : undefined;
  for (let index = 1; index < call.node.inputs.length; index++) {
    const next = call.ranked(index, dims.length);
    next.forEach((dim, at) => {
      if (at !== axis && dim !== dims[at])
        call.fail(`${formatDims(dims)} except in dimension ${axis}`, formatDims(next));
    });
    dims[axis] =
      addDims(dims[axis] ?? 0, next[axis] ?? 0) ??
      call.fail(`sizes of one symbol in dimension ${axis}`, `${dims[axis]} and ${next[axis]}`);
    const more = call.elements(index);
    elements = elements && more && elements.length + more.length <= followedMost ? [...elements, ...more] : undefined;
  }
  return [{ dtype, dims, ...(elements && { elements }) }];
};

const split: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  const axis = call.axis(call.int('axis', 0), dims.length);
  const whole = dims[axis] ?? 0;
  const count = call.node.outputs.length;
  const given = call.node.attributes['split']
    ? call.ints('split', [])
    : call.has(1)
      ? call.knownElements(1)
      : undefined;
  const sizes = given ?? equalParts(call, whole, count);
  const total = sizes.reduce<Dim | undefined>((sum, size) => (sum === undefined ? sum : addDims(sum, size)), 0);
  if (sizes.length !== count || total !== whole) call.fail(`${count} parts that add up to ${whole}`, formatDims(sizes));
  const known = dims.length === 1 ? call.elements(0) : undefined;
  let from = 0;
  return sizes.map((size) => {
    const elements = known && typeof size === 'number' ? known.slice(from, (from += size)) : undefined;
    return { dtype, dims: dims.with(axis, size), ...(elements && { elements }) };
  });
};

/** Equal parts; from opset 18 the last may be smaller. */
function equalParts(call: Call, whole: Dim, count: number): readonly Dim[] {
  const part = divideDims(whole, count);
  if (part !== undefined) return Array<Dim>(count).fill(part);
  if (typeof whole !== 'number' || call.opset < 18)
    return call.fail(`a dimension that ${count} divides`, String(whole));
  const size = Math.ceil(whole / count);
  return Array.from({ length: count }, (_, index) => Math.min(size, whole - index * size));
}

const slice: Inference = (call) => {
  const { dtype, dims } = call.ranked(0, 1, true) && call.type(0);
  const starts = sliceArgument(call, 'starts', 1) ?? call.fail('starts', 'none');
  const ends = sliceArgument(call, 'ends', 2) ?? call.fail('ends', 'none');
  const axes = (call.integers('axes', 3) ?? [...starts.keys()]).map((axis) => call.axis(axis, dims.length));
  const steps = call.integers('steps', 4) ?? starts.map(() => 1);
  if (ends.length !== starts.length || axes.length !== starts.length || steps.length !== starts.length)
    call.fail(
      'as many ends, axes and steps as starts',
      `${starts.length}, ${ends.length}, ${axes.length}, ${steps.length}`,
    );
  const result = [...dims];
  axes.forEach((axis, index) => {
    result[axis] = sliceSize(call, dims[axis] ?? 0, starts[index] ?? 0, ends[index] ?? 0, steps[index] ?? 1);
  });
  const known = call.elements(0);
  const elements =
    known &&
    moveElements(known, dims, result, (place) =>
      place.map((at, axis) => {
        const index = axes.indexOf(axis);
        const [size, start, end] = [dims[axis], starts[index], ends[index]];
        if (typeof size !== 'number' || typeof start !== 'number' || typeof end !== 'number') return at;
        return sliceBounds(size, start, end, steps[index] ?? 1).from + at * (steps[index] ?? 1);
      }),
    );
  return [{ dtype, dims: result, ...(elements && { elements }) }];
};

function sliceArgument(call: Call, name: string, index: number): readonly Dim[] | undefined {
  if (call.node.attributes[name]) return call.ints(name, []);
  return call.has(index) ? call.knownElements(index) : undefined;
}

/** Where a slice begins and ends (exclusive) in a dimension of `size`, clamped as ONNX says. */
export function sliceBounds(size: number, start: number, end: number, step: number): { from: number; to: number } {
  const clamp = (value: number, low: number, high: number): number =>
    Math.max(low, Math.min(value < 0 ? value + size : value, high));
  return step > 0
    ? { from: clamp(start, 0, size), to: clamp(end, 0, size) }
    : { from: clamp(start, 0, size - 1), to: clamp(end, -1, size - 1) };
}

/** ONNX's way of saying "to the end" is any huge number. */
const endless = 2 ** 31 - 1;

function sliceSize(call: Call, size: Dim, start: Dim, end: Dim, step: number): Dim {
  if (step === 0) call.fail('steps other than 0', '0');
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number') {
    const { from, to } = sliceBounds(size, start, end, step);
    return Math.max(0, Math.ceil((to - from) / step));
  }
  const toTheEnd = end === size || (typeof end === 'number' && end >= endless);
  if (step === 1 && start === 0 && toTheEnd) return size;
  if (step === -1 && (start === -1 || start === endless) && typeof end === 'number' && end <= -endless) return size;
  if (
    step === 1 &&
    start === 0 &&
    typeof end === 'string' &&
    typeof size === 'string' &&
    divideDims(size, end) !== undefined
  )
    return end;
  return call.fail(
    'a slice of fixed size, or of a whole symbolic dimension',
    `${start} to ${end}, step ${step}, of ${size}`,
  );
}

const pad: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const pads = call.integers('pads', 1) ?? call.fail('pads', 'none');
  const axes = call.has(3) ? call.knownIntegers(3).map((axis) => call.axis(axis, dims.length)) : [...dims.keys()];
  if (pads.length !== 2 * axes.length) call.fail(`${2 * axes.length} pads`, formatDims(pads));
  const result = [...dims];
  axes.forEach((axis, index) => {
    const amount = (pads[index] ?? 0) + (pads[index + axes.length] ?? 0);
    const size = addDims(dims[axis] ?? 0, amount);
    result[axis] = size ?? call.fail(`no padding of the symbolic dimension ${axis}`, formatDims(pads));
  });
  if (result.some((dim) => typeof dim === 'number' && dim < 0))
    call.fail('an output without negative sizes', formatDims(result));
  return [{ dtype, dims: result }];
};

const tile: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const repeats = call.knownElements(1);
  if (repeats.length !== dims.length) call.fail(`${dims.length} repeats`, formatDims(repeats));
  return [{ dtype, dims: dims.map((dim, axis) => multiplyDims(dim, repeats[axis] ?? 1)) }];
};

const expand: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const shape = call.knownElements(1);
  const result =
    broadcastDims(dims, shape) ?? call.fail(`a shape that broadcasts with ${formatDims(dims)}`, formatDims(shape));
  const known = call.elements(0);
  const [size] = result;
  const elements =
    known?.length === 1 && result.length === 1 && typeof size === 'number' && size <= 64
      ? Array<Dim>(size).fill(known[0] ?? 0)
      : undefined;
  return [{ dtype, dims: result, ...(elements && { elements }) }];
};

/** Resize, opset 11 to 19: by scales or to sizes. A scale of 1 keeps a symbolic dimension. */
const resize: Inference = (call) => {
  const { dtype, dims } = call.type(0);
  const axes = call.ints('axes', [...dims.keys()]).map((axis) => call.axis(axis, dims.length));
  const policy = call.text('keep_aspect_ratio_policy', 'stretch');
  if (policy !== 'stretch') call.fail('keep_aspect_ratio_policy stretch', policy);
  const result = [...dims];
  if (call.has(3)) {
    const sizes = call.knownElements(3);
    if (sizes.length !== axes.length) call.fail(`${axes.length} sizes`, formatDims(sizes));
    axes.forEach((axis, index) => (result[axis] = sizes[index] ?? 0));
    return [{ dtype, dims: result }];
  }
  const scales = call.knownElements(2).filter((scale) => typeof scale === 'number');
  if (scales.length !== axes.length) call.fail(`${axes.length} scales`, formatDims(scales));
  axes.forEach((axis, index) => {
    const dim = dims[axis] ?? 0;
    const scale = scales[index] ?? 1;
    if (typeof dim === 'number') result[axis] = Math.floor(dim * scale);
    else if (Number.isInteger(scale)) result[axis] = multiplyDims(dim, scale);
    else call.fail(`a whole scale of the symbolic dimension ${axis}`, String(scale));
  });
  return [{ dtype, dims: result }];
};

export const joining: Readonly<Record<string, Inference>> = {
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Tile: tile,
  Expand: expand,
  Resize: resize,
};
