// Reduce* (axes as an input from opset 13 or 18, or as an attribute before), ArgMax and ArgMin (13), CumSum (14).

import { intAttribute, intsAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import { axisOf, f64, forEachIndex, positionOf, stridesOf, type F64Tensor } from '../values.ts';
import { input, integersOf, type Call, type Operator } from './call.ts';

/** Reduces the lines of elements that share an index on the kept axes. */
function reduceAxes(x: F64Tensor, axes: readonly number[], reduce: (line: number[]) => number): F64Tensor {
  const dims = x.dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const strides = stridesOf(dims).map((stride, axis) => (axes.includes(axis) ? 0 : stride));
  const lines = Array.from({ length: elementCount(dims) }, (): number[] => []);
  forEachIndex(x.dims, (index, flat) => lines[positionOf(index, strides)]!.push(x.data[flat]!));
  return f64(dims, lines.map(reduce), x.dtype);
}

function withoutAxes(value: F64Tensor, axes: readonly number[]): F64Tensor {
  return { ...value, dims: value.dims.filter((_, axis) => !axes.includes(axis)) };
}

function reduction(reduce: (line: number[]) => number): Operator {
  return (call) => {
    const x = input(call, 0);
    const rank = x.dims.length;
    const given = integersOf(call, 1) ?? intsAttribute(call.node, 'axes', []);
    if (given.length === 0 && intAttribute(call.node, 'noop_with_empty_axes', 0) === 1) {
      // Whether a square or a logarithm is still taken then is read both ways; where it makes no difference, no reading is needed.
      if (reduce([-2]) !== -2)
        throw new Error(`node ${call.node.name}: ${call.node.op} without axes is not interpreted`);
      return [x];
    }
    const axes = given.length === 0 ? x.dims.map((_, axis) => axis) : given.map((axis) => axisOf(axis, rank));
    const reduced = reduceAxes(x, axes, reduce);
    return [intAttribute(call.node, 'keepdims', 1) === 1 ? reduced : withoutAxes(reduced, axes)];
  };
}

const sum = (line: number[]): number => line.reduce((total, element) => total + element, 0);

function logSumExp(line: number[]): number {
  const max = Math.max(...line);
  return max + Math.log(sum(line.map((element) => Math.exp(element - max))));
}

/** The position of the best element along an axis: the first, or with `select_last_index` the last. */
function argument(better: (candidate: number, best: number) => boolean): Operator {
  return (call) => {
    const x = input(call, 0);
    const axis = axisOf(intAttribute(call.node, 'axis', 0), x.dims.length);
    const last = intAttribute(call.node, 'select_last_index', 0) === 1;
    const reduced = reduceAxes(x, [axis], (line) =>
      line.reduce((best, element, at) => {
        const held = line[best]!;
        return better(element, held) || (last && element === held) ? at : best;
      }, 0),
    );
    const result: F64Tensor = { ...reduced, dtype: 'int64' };
    return [intAttribute(call.node, 'keepdims', 1) === 1 ? result : withoutAxes(result, [axis])];
  };
}

/** CumSum along the axis that input 1 gives; `exclusive` leaves an element's own value out, `reverse` sums from the end. */
function cumSum(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const axis = axisOf(input(call, 1).data[0]!, x.dims.length);
  const exclusive = intAttribute(call.node, 'exclusive', 0) === 1;
  const reverse = intAttribute(call.node, 'reverse', 0) === 1;
  const stride = stridesOf(x.dims)[axis]!;
  const y = f64(x.dims, undefined, x.dtype);
  forEachIndex(x.dims, (index, flat) => {
    const own = index[axis]!;
    for (let k = 0; k < x.dims[axis]!; k++) {
      const counts = k === own ? !exclusive : reverse ? k > own : k < own;
      if (counts) y.data[flat]! += x.data[flat + (k - own) * stride]!;
    }
  });
  return [y];
}

export const reductions: Readonly<Record<string, Operator>> = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction((line) => sum(line) / line.length),
  ReduceMax: reduction((line) => Math.max(...line)),
  ReduceMin: reduction((line) => Math.min(...line)),
  ReduceProd: reduction((line) => line.reduce((total, element) => total * element, 1)),
  ReduceL1: reduction((line) => sum(line.map(Math.abs))),
  ReduceL2: reduction((line) => Math.sqrt(sum(line.map((element) => element * element)))),
  ReduceSumSquare: reduction((line) => sum(line.map((element) => element * element))),
  ReduceLogSum: reduction((line) => Math.log(sum(line))),
  ReduceLogSumExp: reduction(logSumExp),
  ArgMax: argument((candidate, best) => candidate > best),
  ArgMin: argument((candidate, best) => candidate < best),
  CumSum: cumSum,
};
