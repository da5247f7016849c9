// Gradients of Conv (ONNX 11), any number of spatial dimensions, with stride, padding, dilation and groups.

import { ints, int } from '../../onnx/index.ts';
import type { Attribute, Dim } from '../../onnx/index.ts';
import { range, type Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { fewWeights } from './records.ts';
import { groupOf, taps, windowsOf, type Windows } from './window.ts';

interface Convolution {
  readonly ops: Ops;
  readonly windows: Windows;
  readonly group: number;
  readonly x: string;
  readonly w: string;
  readonly gradient: string;
}

export const convolutionRule: Rule = ({ node, ops, gradient, needs, inDouble, refuse }) => {
  const [x, w, bias] = node.inputs as [string, string, string?];
  const kernel = ops
    .dims(w)
    .slice(2)
    .filter((size) => typeof size === 'number');
  const windows = windowsOf(node, kernel, ops.dims(x), ops.dims(node.outputs[0]!));
  if (!windows) return refuse('its spatial sizes must be known');
  const convolution = { ops, windows, group: groupOf(node), x, w, gradient };
  const spatialAxes = range(kernel.length, 2);
  const ofWeights = (): string =>
    inDouble(1) && convolution.group === 1 && fewWeights(ops.dims(w))
      ? weightGradientInDouble(convolution)
      : hinted(convolution, 'ConvWeightGradient', weightGradient(convolution));
  const ofBias = (): string =>
    inDouble(2) ? ops.sumOverRecords(gradient, spatialAxes) : ops.sum(gradient, [0, ...spatialAxes], false);
  return [
    needs(0) ? inputGradient(convolution) : undefined,
    needs(1) ? ofWeights() : undefined,
    bias !== undefined && needs(2) ? ofBias() : undefined,
  ];
};

/** Says that `output` is the weights' gradient, or each record's share of it. */
function hinted(
  { ops, windows, group, x, gradient }: Convolution,
  op: 'ConvWeightGradient' | 'ConvRecordGradients',
  output: string,
): string {
  const { kernel, padsBegin, reachEnd, strides, dilations } = windows;
  ops.builder.hint({
    op,
    inputs: [x, gradient],
    output,
    attributes: {
      kernel_shape: ints(kernel),
      strides: ints(strides),
      dilations: ints(dilations),
      pads: ints([...padsBegin, ...reachEnd]),
      group: int(group),
    },
  });
  return output;
}

/** w [out, in / group, …] of a convolution as the weights [in, out / group, …] of its adjoint at stride 1, the kernel's axes reversed. */
function flipped(ops: Ops, w: string, kernel: readonly number[], group: number): string {
  const axes = range(kernel.length, 2);
  const backwards = kernel.map(() => -1);
  const ends = kernel.map(() => -(2 ** 31));
  const turned = kernel.every((size) => size === 1) ? w : ops.slice(w, axes, backwards, ends, backwards);
  if (group === 1) return ops.transpose(turned, [1, 0, ...axes]);
  const [out, inPerGroup] = ops.dims(w) as [number, number];
  const grouped = ops.reshape(turned, [group, out / group, inPerGroup, ...kernel]);
  const swapped = ops.transpose(grouped, [0, 2, 1, ...range(kernel.length, 3)]);
  return ops.reshape(swapped, [group * inPerGroup, out / group, ...kernel]);
}

/**
 * dx. At stride 1 a convolution of dy with the flipped kernel, input and output channels exchanged within each group, padded by
 * (k - 1)·dilation - pad; else the transposed convolution, which ONNX Runtime computes up to twice as slowly.
 */
function inputGradient({ ops, windows, group, w, gradient }: Convolution): string {
  const { kernel, strides, dilations, padsBegin, reachEnd } = windows;
  const full = kernel.map((size, axis) => (size - 1) * dilations[axis]!);
  const begin = full.map((extent, axis) => extent - padsBegin[axis]!);
  const end = full.map((extent, axis) => extent - reachEnd[axis]!);
  if (strides.some((stride) => stride !== 1) || [...begin, ...end].some((pad) => pad < 0))
    return transposedConvolution(ops, gradient, w, windows, group);
  return ops.builder.add('Conv', [gradient, flipped(ops, w, kernel, group)], {
    kernel_shape: ints(kernel),
    dilations: ints(dilations),
    pads: ints([...begin, ...end]),
    group: int(group),
  });
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
export function weightGradient(convolution: Convolution): string {
  const { ops, windows, group, w } = convolution;
  const { kernel, padsBegin, reachEnd } = windows;
  const [out, inPerGroup] = ops.dims(w) as [number, number, ...Dim[]];
  const padded = ops.pad(convolution.x, [0, 0, ...padsBegin, 0, 0, ...reachEnd.map((reach) => Math.max(0, reach))]);
  const products =
    inPerGroup === 1 && group > 1 ? depthwiseProducts(convolution, padded) : matrixProducts(convolution, padded);
  const columns = products.map((each) => ops.reshape(each, [out, inPerGroup, 1]));
  return ops.reshape(ops.concat(columns, 2), [out, inPerGroup, ...kernel]);
}

/** The part of the padded input that a tap saw; the spatial axes begin at `firstAxis`. */
function seenBy(ops: Ops, padded: string, tap: readonly number[], windows: Windows, firstAxis: number): string {
  const { strides, dilations, outputSizes } = windows;
  const starts = tap.map((at, axis) => at * dilations[axis]!);
  const ends = starts.map((start, axis) => start + (outputSizes[axis]! - 1) * strides[axis]! + 1);
  const steps = strides.some((stride) => stride > 1) ? strides : undefined;
  return ops.slice(padded, range(tap.length, firstAxis), starts, ends, steps);
}

/** One matrix product a tap, channels last: [out, batch · space] · [batch · space, in], for each group apart. */
function matrixProducts({ ops, windows, group, w, gradient }: Convolution, padded: string): string[] {
  const [out, inPerGroup] = ops.dims(w) as [number, number, ...Dim[]];
  const spatial = range(windows.kernel.length, 2);
  const channelsLast = ops.transpose(padded, [0, ...spatial, 1]);
  const rowsOf = (tap: readonly number[]): string => seenBy(ops, channelsLast, tap, windows, 1);
  if (group === 1) {
    const dy = ops.reshape(ops.transpose(gradient, [1, 0, ...spatial]), [out, -1]);
    return taps(windows.kernel).map((tap) => ops.matmul(dy, ops.reshape(rowsOf(tap), [-1, inPerGroup])));
  }
  const grouped = ops.transpose(ops.reshape(gradient, [0, group, out / group, -1]), [1, 2, 0, 3]);
  const dy = ops.reshape(grouped, [group, out / group, -1]);
  return taps(windows.kernel).map((tap) => {
    const rows = ops.reshape(rowsOf(tap), [-1, group, inPerGroup]);
    return ops.matmul(dy, ops.transpose(rows, [1, 0, 2]));
  });
}

/** Inputs of one output element up to which they are laid side by side for one product. */
const patchMax = 64;

/**
 * dw of an ungrouped convolution with few weights, each record's in float32, all records' sum in float64: a record's part then does not
 * depend on the records beside it. A patch's numbers become channels by a convolution with a one-hot kernel, which moves them as they are.
 */
function weightGradientInDouble(convolution: Convolution): string {
  const { ops, windows, x, w, gradient } = convolution;
  const { kernel, strides, dilations, padsBegin, reachEnd } = windows;
  const [out, channels] = ops.dims(w) as [number, number];
  const spatial = range(kernel.length, 2);
  const dy = ops.reshape(gradient, [0, out, -1]);
  const product = (rows: string): string => ops.matmul(dy, rows);
  const reach = reachEnd.map((end) => Math.max(0, end));
  const perPatch = channels * taps(kernel).length;
  if (perPatch <= patchMax && reachEnd.every((end) => end >= 0)) {
    const oneHot = Float32Array.from({ length: perPatch * perPatch }, (_, at) => (at % (perPatch + 1) === 0 ? 1 : 0));
    const patches = ops.builder.add('Conv', [x, ops.constant(oneHot, [perPatch, channels, ...kernel])], {
      kernel_shape: ints(kernel),
      strides: ints(strides),
      dilations: ints(dilations),
      pads: ints([...padsBegin, ...reach]),
    });
    const shares = product(ops.transposeLast(ops.reshape(patches, [0, perPatch, -1])));
    return ops.reshape(ops.sumOverRecords(hinted(convolution, 'ConvRecordGradients', shares)), [
      out,
      channels,
      ...kernel,
    ]);
  }
  const channelsLast = ops.transpose(ops.pad(x, [0, 0, ...padsBegin, 0, 0, ...reach]), [0, ...spatial, 1]);
  const columns = taps(kernel).map((tap) => {
    const rows = ops.reshape(seenBy(ops, channelsLast, tap, windows, 1), [0, -1, channels]);
    return ops.reshape(ops.sumOverRecords(product(rows)), [out, channels, 1]);
  });
  return ops.reshape(ops.concat(columns, 2), [out, channels, ...kernel]);
}

/** One input channel a group: an elementwise product and a sum beat as many thin matrix products. */
function depthwiseProducts({ ops, windows, group, w, gradient }: Convolution, padded: string): string[] {
  const perGroup = (ops.dims(w)[0] as number) / group;
  const spatial = range(windows.kernel.length, 2);
  if (perGroup === 1) {
    return taps(windows.kernel).map((tap) =>
      ops.sum(ops.mul(gradient, seenBy(ops, padded, tap, windows, 2)), [0, ...spatial], false),
    );
  }
  const dy = ops.reshape(gradient, [0, group, perGroup, ...windows.outputSizes]);
  const axes = [0, ...spatial.map((axis) => axis + 1)];
  return taps(windows.kernel).map((tap) =>
    ops.sum(ops.mul(dy, ops.unsqueeze(seenBy(ops, padded, tap, windows, 2), [2])), axes, false),
  );
}
