// The gradient of MaxPool (ONNX 12). It goes to the first maximum of each window in row-major order, as in PyTorch; ties are common
// (constant backgrounds), so "equal to the maximum" is not enough. MaxPool's own Indices output is not used: it makes the forward
// pass several times slower.

import { ints, intsAttribute } from '../../onnx/index.ts';
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
  const z = before.inputs[0]!;
  const dz = poolGradient(ops, x, y, gated, windows);
  if (tile(windows))
    ops.builder.hint({
      op: 'ReluMaxPoolGradient',
      inputs: [z, y, gradient],
      output: dz,
      attributes: { kernel_shape: ints(windows.kernel) },
    });
  contribute(z, dz);
  return [];
};

function poolGradient(ops: Ops, x: string, y: string, gradient: string, windows: Windows): string {
  const parts = firstMaxima(ops, x, y, gradient, windows);
  return tile(windows) ? interleave(ops, parts, windows) : scatter(ops, x, parts, windows);
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

/** Whether the windows stand side by side without padding, so that each element is in one of them at most. */
function tile(windows: Windows): boolean {
  const { kernel, strides, dilations, padsBegin, reachEnd } = windows;
  return kernel.every(
    (size, axis) => strides[axis] === size && dilations[axis] === 1 && padsBegin[axis] === 0 && reachEnd[axis]! <= 0,
  );
}

/** Puts the taps of windows that tile the input back side by side: axis by axis, the taps of an axis become its phases. */
function interleave(ops: Ops, parts: readonly string[], windows: Windows): string {
  const { kernel, inputSizes, outputSizes } = windows;
  let rows = parts;
  for (let axis = kernel.length - 1; axis >= 0; axis--) {
    const count = kernel[axis]!;
    const phases = axis + 3;
    rows = range(rows.length / count).map((row) => {
      const group = rows.slice(row * count, (row + 1) * count);
      const sizes = ops.dims(group[0]!).with(axis + 2, outputSizes[axis]! * count);
      return ops.reshapeTo(
        ops.concat(
          group.map((part) => ops.unsqueeze(part, [phases])),
          phases,
        ),
        sizes,
      );
    });
  }
  const left = inputSizes.map((size, axis) => size - outputSizes[axis]! * kernel[axis]!);
  return ops.pad(rows[0]!, [...range(kernel.length + 2).map(() => 0), 0, 0, ...left]);
}

/**
 * Puts each tap's gradient back to where the tap stood and adds up where windows overlap: a transposed convolution of the taps as
 * channels with one-hot kernels.
 */
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
