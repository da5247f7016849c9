// The gradient of MaxPool (ONNX 12). It goes to the first maximum of each window in row-major order, as in PyTorch; ties are common
// (constant backgrounds), so "equal to the maximum" is not enough. MaxPool's own Indices output is not used: it makes the forward
// pass several times slower.

import { intsAttribute } from '../../onnx/index.ts';
import { range, type Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { product, taps, windowsOf, type Windows } from './window.ts';
import { transposedConvolution } from './convolution.ts';

export const maxPoolRule: Rule = ({ node, ops, gradient, producerOf, contribute, refuse }) => {
  const x = node.inputs[0]!;
  const y = node.outputs[0]!;
  const windows = windowsOf(node, intsAttribute(node, 'kernel_shape', []), ops.dims(x), ops.dims(y));
  if (!windows) return refuse('its spatial sizes must be known');
  const before = producerOf(x);
  if (before?.op !== 'Relu' || before.domain !== '') return [poolGradient(ops, x, y, gradient, windows)];
  // A Relu before the pool is gated here, at the pooled size: where y > 0 the first maximum is the same before and after the
  // Relu and lets the gradient through; where y = 0 the Relu stops it, wherever it went.
  const gated = ops.mul(gradient, ops.indicator('Greater', y, ops.scalar(0)));
  contribute(before.inputs[0]!, poolGradient(ops, x, y, gated, windows));
  return [];
};

function poolGradient(ops: Ops, x: string, y: string, gradient: string, windows: Windows): string {
  return scatter(ops, x, firstMaxima(ops, x, y, gradient, windows), windows);
}

/** For each tap of the window, row-major, the gradient that goes to it: all of it at the first tap that equals the maximum, else 0. */
function firstMaxima(ops: Ops, x: string, y: string, gradient: string, windows: Windows): string[] {
  const { kernel, strides, dilations, padsBegin, reachEnd, outputSizes } = windows;
  const rank = kernel.length;
  const end = reachEnd.map((reach) => Math.max(0, reach));
  const padded = ops.pad(x, [0, 0, ...padsBegin, 0, 0, ...end], -Infinity);
  const parts: string[] = [];
  let rest = gradient;
  const all = taps(kernel);
  all.forEach((tap, index) => {
    if (index === all.length - 1) {
      parts.push(rest);
      return;
    }
    const starts = tap.map((at, axis) => at * dilations[axis]!);
    const ends = starts.map((start, axis) => start + (outputSizes[axis]! - 1) * strides[axis]! + 1);
    const phase = ops.slice(padded, range(rank, 2), starts, ends, strides);
    const part = ops.mul(rest, ops.indicator('Equal', phase, y));
    rest = ops.sub(rest, part);
    parts.push(part);
  });
  return parts;
}

/** Puts each tap's gradient back to where the tap stood and adds up where windows overlap. */
function scatter(ops: Ops, x: string, parts: readonly string[], windows: Windows): string {
  const { kernel, outputSizes } = windows;
  const count = product(kernel);
  const stacked = ops.concat(
    parts.map((part) => ops.reshape(part, [-1, 1, ...outputSizes])),
    1,
  );
  const oneHot = new Float32Array(count * count);
  for (let tap = 0; tap < count; tap++) oneHot[tap * count + tap] = 1;
  const w = ops.constant(oneHot, [count, 1, ...kernel]);
  return ops.reshapeLike(transposedConvolution(ops, stacked, w, windows, 1), x);
}
