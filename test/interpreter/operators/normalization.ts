// Softmax and LogSoftmax (opset 13), BatchNormalization (15), InstanceNormalization (6), GroupNormalization (21),
// LayerNormalization (17), Dropout (13). Variances are those of the population: divided by the count.

import { floatAttribute, intAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import { axisOf, f64, stretched, type F64Tensor } from '../values.ts';
import { input, type Call, type Operator } from './call.ts';

/** Runs `compute` on each line of elements along the node's axis and writes what it gives. */
function alongAxis(compute: (line: number[]) => number[]): Operator {
  return (call) => {
    const x = input(call, 0);
    const axis = axisOf(intAttribute(call.node, 'axis', -1), x.dims.length);
    const length = x.dims[axis]!;
    const inner = elementCount(x.dims.slice(axis + 1));
    const outer = elementCount(x.dims.slice(0, axis));
    const y = f64(x.dims, undefined, x.dtype);
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++) {
        const line = Array.from({ length }, (_, k) => x.data[(o * length + k) * inner + i]!);
        compute(line).forEach((element, k) => (y.data[(o * length + k) * inner + i] = element));
      }
    return [y];
  };
}

function logSoftmax(line: number[]): number[] {
  const max = Math.max(...line);
  const logSum = Math.log(line.reduce((sum, element) => sum + Math.exp(element - max), 0));
  return line.map((element) => element - max - logSum);
}

function meanOf(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]!;
  return sum / numbers.length;
}

function varianceOf(numbers: ArrayLike<number>): number {
  const mean = meanOf(numbers);
  return meanOf(Array.from(numbers, (element) => (element - mean) ** 2));
}

/**
 * BatchNormalization: Y = (X - mean) / √(var + epsilon) · scale + B, each of `[C]`. In training mode mean and variance are the
 * batch's, and the running ones come out: running = input · momentum + batch · (1 - momentum).
 */
function batchNormalization(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const [scale, bias, inputMean, inputVar] = [1, 2, 3, 4].map((index) => input(call, index).data) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  const momentum = floatAttribute(call.node, 'momentum', 0.9);
  const training = intAttribute(call.node, 'training_mode', 0) === 1;
  const [channels, plane] = [x.dims[1]!, elementCount(x.dims.slice(2))];
  const channelOf = (position: number): number => Math.floor(position / plane) % channels;
  const ofChannel = (c: number): Float64Array => x.data.filter((_, position) => channelOf(position) === c);
  const mean = training ? inputMean.map((_, c) => meanOf(ofChannel(c))) : inputMean;
  const variance = training ? inputVar.map((_, c) => varianceOf(ofChannel(c))) : inputVar;
  const y = x.data.map((element, position) => {
    const c = channelOf(position);
    return ((element - mean[c]!) / Math.sqrt(variance[c]! + epsilon)) * scale[c]! + bias[c]!;
  });
  const running = (old: Float64Array, batch: Float64Array): F64Tensor =>
    f64(
      [channels],
      old.map((element, c) => element * momentum + batch[c]! * (1 - momentum)),
    );
  return [f64(x.dims, y), ...(training ? [running(inputMean, mean), running(inputVar, variance)] : [])];
}

/** Normalises each group of channels of each record over its channels and pixels; scale and bias are of each channel. */
function normalizeGroups(call: Call, groups: number): F64Tensor[] {
  const [x, scale, bias] = [input(call, 0), input(call, 1), input(call, 2)];
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  const [channels, plane] = [x.dims[1]!, elementCount(x.dims.slice(2))];
  const size = (channels / groups) * plane;
  const y = f64(x.dims);
  for (let start = 0; start < x.data.length; start += size) {
    const part = x.data.subarray(start, start + size);
    const [mean, deviation] = [meanOf(part), Math.sqrt(varianceOf(part) + epsilon)];
    part.forEach((element, offset) => {
      const c = Math.floor((start + offset) / plane) % channels;
      y.data[start + offset] = ((element - mean) / deviation) * scale.data[c]! + bias.data[c]!;
    });
  }
  return [y];
}

function groupNormalization(call: Call): F64Tensor[] {
  if (call.opset < 21) throw new Error(`node ${call.node.name}: GroupNormalization is interpreted from opset 21 on`);
  return normalizeGroups(call, intAttribute(call.node, 'num_groups', 1));
}

/** LayerNormalization: over the axes from `axis` on; outputs Y, Mean and InvStdDev, the latter two with those axes of size 1. */
function layerNormalization(call: Call): F64Tensor[] {
  const [x, scale] = [input(call, 0), input(call, 1)];
  const bias = call.inputs[2];
  const epsilon = floatAttribute(call.node, 'epsilon', 1e-5);
  const axis = axisOf(intAttribute(call.node, 'axis', -1), x.dims.length);
  const inner = x.dims.slice(axis);
  const size = elementCount(inner);
  const statistics = [...x.dims.slice(0, axis), ...inner.map(() => 1)];
  const [y, means, inverses] = [f64(x.dims), f64(statistics), f64(statistics)];
  const factor = stretched(scale, x.dims);
  const shift = bias && stretched(bias, x.dims);
  for (let row = 0; row < means.data.length; row++) {
    const part = x.data.subarray(row * size, (row + 1) * size);
    means.data[row] = meanOf(part);
    inverses.data[row] = 1 / Math.sqrt(varianceOf(part) + epsilon);
    part.forEach((element, offset) => {
      const at = row * size + offset;
      y.data[at] = (element - means.data[row]!) * inverses.data[row]! * factor[at]! + (shift ? shift[at]! : 0);
    });
  }
  return [y, means, inverses];
}

/** Dropout in inference mode: the input itself and a mask of ones. In training mode it is random and is refused. */
function dropout(call: Call): F64Tensor[] {
  const x = input(call, 0);
  if (call.inputs[2]?.data[0] === 1 && call.inputs[1]?.data[0] !== 0)
    throw new Error(`node ${call.node.name}: a Dropout in training mode has no defined value`);
  return [x, f64(x.dims, new Float64Array(x.data.length).fill(1), 'bool')];
}

export const normalization: Readonly<Record<string, Operator>> = {
  Softmax: alongAxis((line) => logSoftmax(line).map(Math.exp)),
  LogSoftmax: alongAxis(logSoftmax),
  BatchNormalization: batchNormalization,
  InstanceNormalization: (call) => normalizeGroups(call, input(call, 0).dims[1]!),
  GroupNormalization: groupNormalization,
  LayerNormalization: layerNormalization,
  Dropout: dropout,
};
