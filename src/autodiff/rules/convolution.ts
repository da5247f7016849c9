// Gradients of Conv (ONNX 11), any number of spatial dimensions, with stride, padding, dilation and groups.

import { ints, int } from '../../onnx/index.ts';
import type { Attribute, Dim } from '../../onnx/index.ts';
import { range, type Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { groupOf, taps, windowsOf, type Windows } from './window.ts';

interface Convolution {
  readonly ops: Ops;
  readonly windows: Windows;
  readonly group: number;
  readonly x: string;
  readonly w: string;
  readonly gradient: string;
}

export const convolutionRule: Rule = ({ node, ops, gradient, needs, refuse }) => {
  const [x, w, bias] = node.inputs as [string, string, string?];
  const kernel = ops
    .dims(w)
    .slice(2)
    .filter((size) => typeof size === 'number');
  const windows = windowsOf(node, kernel, ops.dims(x), ops.dims(node.outputs[0]!));
  if (!windows) return refuse('its spatial sizes must be known');
  const convolution = { ops, windows, group: groupOf(node), x, w, gradient };
  const spatialAxes = range(kernel.length, 2);
  return [
    needs(0) ? inputGradient(convolution) : undefined,
    needs(1) ? weightGradient(convolution) : undefined,
    bias !== undefined && needs(2) ? ops.sum(gradient, [0, ...spatialAxes], false) : undefined,
  ];
};

/** The axes of a kernel reversed: w[o, c, K-1-i, L-1-j]. */
function flip(ops: Ops, w: string, kernel: readonly number[]): string {
  const axes = range(kernel.length, 2);
  if (kernel.every((size) => size === 1)) return w;
  const ends = kernel.map(() => -(2 ** 31));
  return ops.slice(
    w,
    axes,
    kernel.map(() => -1),
    ends,
    kernel.map(() => -1),
  );
}

/**
 * dx. For one group and stride 1 a convolution of dy with the flipped kernel, input and output channels exchanged, padded by
 * (k - 1)·dilation - pad; else the transposed convolution.
 */
function inputGradient({ ops, windows, group, w, gradient }: Convolution): string {
  const { kernel, strides, dilations, padsBegin, reachEnd } = windows;
  const full = kernel.map((size, axis) => (size - 1) * dilations[axis]!);
  const begin = full.map((extent, axis) => extent - padsBegin[axis]!);
  const end = full.map((extent, axis) => extent - reachEnd[axis]!);
  const plain = group === 1 && strides.every((stride) => stride === 1) && [...begin, ...end].every((pad) => pad >= 0);
  if (plain) {
    const swapped = ops.transpose(flip(ops, w, kernel), [1, 0, ...range(kernel.length, 2)]);
    return ops.builder.add('Conv', [gradient, swapped], {
      kernel_shape: ints(kernel),
      dilations: ints(dilations),
      pads: ints([...begin, ...end]),
    });
  }
  return transposedConvolution(ops, gradient, w, windows, group);
}

/** The adjoint of a convolution with these windows: [batch, out, …] with w [out, in / group, …] → [batch, in, …input sizes]. */
export function transposedConvolution(ops: Ops, value: string, w: string, windows: Windows, group: number): string {
  const { kernel, strides, dilations, padsBegin, reachEnd } = windows;
  const attributes: Record<string, Attribute> = {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints([...padsBegin, ...reachEnd.map((reach) => Math.max(0, reach))]),
    group: int(group),
  };
  if (reachEnd.some((reach) => reach < 0))
    attributes['output_padding'] = ints(reachEnd.map((reach) => Math.max(0, -reach)));
  return ops.builder.add('ConvTranspose', [value, w], attributes);
}

/**
 * dw. Each tap of the kernel saw one shifted slice of the padded input; its gradient is the product of the output gradient with
 * that slice over batch and space: dw[o, c, tap] = Σ dy[o, p]·x[p + tap, c].
 */
export function weightGradient({ ops, windows, group, x, w, gradient }: Convolution): string {
  const { kernel, strides, dilations, padsBegin, reachEnd, outputSizes } = windows;
  const [out, inPerGroup] = ops.dims(w) as [number, number, ...Dim[]];
  const rank = kernel.length;
  const spatial = range(rank, 2);
  const padded = ops.pad(x, [0, 0, ...padsBegin, 0, 0, ...reachEnd.map((reach) => Math.max(0, reach))]);
  const channelsLast = ops.transpose(padded, [0, ...spatial, 1]);
  const groups = group === 1 ? [] : [group];
  // [group, out / group, batch · space]
  const dy =
    group === 1
      ? ops.reshape(ops.transpose(gradient, [1, 0, ...spatial]), [out, -1])
      : ops.reshape(ops.transpose(ops.reshape(gradient, [0, group, out / group, -1]), [1, 2, 0, 3]), [
          group,
          out / group,
          -1,
        ]);
  const slices = taps(kernel).map((tap) => {
    const starts = tap.map((at, axis) => at * dilations[axis]!);
    const ends = starts.map((start, axis) => start + (outputSizes[axis]! - 1) * strides[axis]! + 1);
    const seen = ops.slice(
      channelsLast,
      range(rank, 1),
      starts,
      ends,
      strides.some((s) => s > 1) ? strides : undefined,
    );
    const rows = ops.reshape(seen, [-1, ...groups, inPerGroup]);
    const columns = group === 1 ? rows : ops.transpose(rows, [1, 0, 2]);
    return ops.reshape(ops.matmul(dy, columns), [out, inPerGroup, 1]);
  });
  return ops.reshape(ops.concat(slices, 2), [out, inPerGroup, ...kernel]);
}
