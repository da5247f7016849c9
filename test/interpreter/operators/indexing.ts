// Operators that read or write at given indices: Gather (opset 13), GatherElements (13), GatherND (13), ScatterElements (18),
// ScatterND (18), OneHot (11), and Resize by nearest neighbour (19).

import { intAttribute, textAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import { axisOf, f64, forEachIndex, positionOf, stridesOf, type F64Tensor } from '../values.ts';
import { input, integersOf, type Call, type Operator } from './call.ts';

/** An index counted from the front. Throws when it is outside. */
function within(index: number, size: number): number {
  if (index < -size || index >= size) throw new Error(`index ${index} is outside ${size}`);
  return index < 0 ? index + size : index;
}

/** Gather: the axis is replaced by the axes of the indices. */
function gather(call: Call): F64Tensor[] {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const axis = axisOf(intAttribute(call.node, 'axis', 0), x.dims.length);
  const y = f64([...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)], undefined, x.dtype);
  const strides = stridesOf(x.dims);
  const indexStrides = stridesOf(indices.dims);
  forEachIndex(y.dims, (index, flat) => {
    const inner = index.slice(axis, axis + indices.dims.length);
    const chosen = within(indices.data[positionOf(inner, indexStrides)]!, x.dims[axis]!);
    const read = [...index.slice(0, axis), chosen, ...index.slice(axis + indices.dims.length)];
    y.data[flat] = x.data[positionOf(read, strides)]!;
  });
  return [y];
}

function gatherElements(call: Call): F64Tensor[] {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const axis = axisOf(intAttribute(call.node, 'axis', 0), x.dims.length);
  const y = f64(indices.dims, undefined, x.dtype);
  const strides = stridesOf(x.dims);
  forEachIndex(y.dims, (index, flat) => {
    const read = index.with(axis, within(indices.data[flat]!, x.dims[axis]!));
    y.data[flat] = x.data[positionOf(read, strides)]!;
  });
  return [y];
}

/** Visits the tuples of an ND index: where the slice that each names starts in `dims`. `visit` gets the tuple's number too. */
function forEachTuple(
  indices: F64Tensor,
  dims: readonly number[],
  batchDims: number,
  visit: (start: number, tuple: number) => void,
): void {
  const length = indices.dims.at(-1)!;
  const strides = stridesOf(dims);
  forEachIndex(indices.dims.slice(0, -1), (index, tuple) => {
    const named = Array.from({ length }, (_, k) => within(indices.data[tuple * length + k]!, dims[batchDims + k]!));
    const read = [...index.slice(0, batchDims), ...named];
    visit(positionOf(read, strides.slice(0, read.length)), tuple);
  });
}

function gatherND(call: Call): F64Tensor[] {
  const [x, indices] = [input(call, 0), input(call, 1)];
  const batchDims = intAttribute(call.node, 'batch_dims', 0);
  const inner = x.dims.slice(batchDims + indices.dims.at(-1)!);
  const size = elementCount(inner);
  const y = f64([...indices.dims.slice(0, -1), ...inner], undefined, x.dtype);
  forEachTuple(indices, x.dims, batchDims, (start, tuple) =>
    y.data.set(x.data.subarray(start, start + size), tuple * size),
  );
  return [y];
}

/** How a scattered value meets the one that is there. */
const reducers: Readonly<Record<string, (held: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (held, update) => held + update,
  mul: (held, update) => held * update,
  max: Math.max,
  min: Math.min,
};

function reducerOf(call: Call): (held: number, update: number) => number {
  const name = textAttribute(call.node, 'reduction', 'none');
  const reducer = reducers[name];
  if (!reducer) throw new Error(`node ${call.node.name}: reduction ${name} is not interpreted`);
  return reducer;
}

function scatterElements(call: Call): F64Tensor[] {
  const [x, indices, updates] = [input(call, 0), input(call, 1), input(call, 2)];
  const axis = axisOf(intAttribute(call.node, 'axis', 0), x.dims.length);
  const reduce = reducerOf(call);
  const y = f64(x.dims, x.data, x.dtype);
  const strides = stridesOf(x.dims);
  forEachIndex(indices.dims, (index, flat) => {
    const at = positionOf(index.with(axis, within(indices.data[flat]!, x.dims[axis]!)), strides);
    y.data[at] = reduce(y.data[at]!, updates.data[flat]!);
  });
  return [y];
}

function scatterND(call: Call): F64Tensor[] {
  const [x, indices, updates] = [input(call, 0), input(call, 1), input(call, 2)];
  const reduce = reducerOf(call);
  const size = elementCount(x.dims.slice(indices.dims.at(-1)));
  const y = f64(x.dims, x.data, x.dtype);
  forEachTuple(indices, x.dims, 0, (start, tuple) => {
    for (let k = 0; k < size; k++) y.data[start + k] = reduce(y.data[start + k]!, updates.data[tuple * size + k]!);
  });
  return [y];
}

/** OneHot: values are `[off, on]`; an index outside the depth is all off. */
function oneHot(call: Call): F64Tensor[] {
  const [indices, values] = [input(call, 0), input(call, 2)];
  const depth = input(call, 1).data[0]!;
  const axis = axisOf(intAttribute(call.node, 'axis', -1), indices.dims.length + 1);
  const y = f64(indices.dims.toSpliced(axis, 0, depth), undefined, values.dtype);
  const strides = stridesOf(indices.dims);
  forEachIndex(y.dims, (index, flat) => {
    const named = indices.data[positionOf(index.toSpliced(axis, 1), strides)]!;
    const on = index[axis] === (named < 0 ? named + depth : named);
    y.data[flat] = values.data[on ? 1 : 0]!;
  });
  return [y];
}

/** Resize's coordinate in the input for a coordinate in the output. */
function originalCoordinate(mode: string, at: number, scale: number, from: number, to: number): number {
  switch (mode) {
    case 'half_pixel':
      return (at + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return to > 1 ? (at + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return to > 1 ? (at * (from - 1)) / (to - 1) : 0;
    case 'asymmetric':
      return at / scale;
    default:
      throw new Error(`Resize coordinates ${mode} are not interpreted`);
  }
}

const nearest: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Resize by nearest neighbour, by scales (input 2) or sizes (input 3) of every axis. */
function resize(call: Call): F64Tensor[] {
  const { node } = call;
  const x = input(call, 0);
  const round = nearest[textAttribute(node, 'nearest_mode', 'round_prefer_floor')];
  const mode = textAttribute(node, 'mode', 'nearest');
  if (mode !== 'nearest' || !round || node.attributes['axes'] || node.attributes['keep_aspect_ratio_policy'])
    throw new Error(`node ${node.name}: this form of Resize is not interpreted`);
  const coordinates = textAttribute(node, 'coordinate_transformation_mode', 'half_pixel');
  const given = call.inputs[2]?.data.length ? Array.from(call.inputs[2].data) : undefined;
  const sizes = integersOf(call, 3) ?? x.dims.map((dim, axis) => Math.floor(dim * given![axis]!));
  const scales = given ?? x.dims.map((dim, axis) => sizes[axis]! / dim);
  const strides = stridesOf(x.dims);
  const y = f64(sizes, undefined, x.dtype);
  forEachIndex(sizes, (index, flat) => {
    const read = index.map((at, axis) => {
      const place = round(originalCoordinate(coordinates, at, scales[axis]!, x.dims[axis]!, sizes[axis]!));
      return Math.min(Math.max(place, 0), x.dims[axis]! - 1);
    });
    y.data[flat] = x.data[positionOf(read, strides)]!;
  });
  return [y];
}

export const indexing: Readonly<Record<string, Operator>> = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  OneHot: oneHot,
  Resize: resize,
};
