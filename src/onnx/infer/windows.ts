// Operators that slide a window over the spatial dimensions of [batch, channels, …spatial]: convolutions and pools.
// Output sizes are those of ONNX's Conv, ConvTranspose, MaxPool and AveragePool; with ceil_mode those of opset 22, which ONNX Runtime
// and PyTorch compute for every version: a window that would start in the padding at the end is not counted.

import type { Dim } from '../graph.ts';
import { type Call, type Inference, floatTypes } from './call.ts';
import { divideDims, formatDims, multiplyDims } from './dims.ts';

/** A window in numbers; all arrays have one entry a spatial dimension, except pads: all begins, then all ends. */
export interface WindowAttributes {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly autoPad: string;
}

function windowOf(call: Call, kernel: readonly number[]): WindowAttributes {
  const rank = kernel.length;
  const window = {
    kernel,
    strides: call.ints('strides', Array<number>(rank).fill(1)),
    dilations: call.ints('dilations', Array<number>(rank).fill(1)),
    pads: call.ints('pads', Array<number>(2 * rank).fill(0)),
    autoPad: call.text('auto_pad', 'NOTSET'),
  };
  for (const name of ['kernel', 'strides', 'dilations'] as const) {
    if (window[name].length !== rank || window[name].some((value) => value < 1))
      call.fail(`${rank} positive ${name}`, formatDims(window[name]));
  }
  if (window.pads.length !== 2 * rank || window.pads.some((pad) => pad < 0))
    call.fail(`${2 * rank} pads of at least 0`, formatDims(window.pads));
  if (!['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(window.autoPad))
    call.fail('auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER', window.autoPad);
  return window;
}

/** The spatial sizes of a convolution or pool over input 0. */
function slide(call: Call, window: WindowAttributes, ceilMode: boolean): number[] {
  const rank = window.kernel.length;
  return window.kernel.map((kernel, axis) => {
    const size = call.size(0, axis + 2);
    const stride = window.strides[axis] ?? 1;
    const extent = (kernel - 1) * (window.dilations[axis] ?? 1) + 1;
    if (window.autoPad.startsWith('SAME')) return Math.ceil(size / stride);
    const before = window.autoPad === 'VALID' ? 0 : (window.pads[axis] ?? 0);
    const after = window.autoPad === 'VALID' ? 0 : (window.pads[axis + rank] ?? 0);
    const room = size + before + after - extent;
    if (room < 0)
      call.fail(`at least ${extent - before - after} in dimension ${axis + 2} of input 0`, formatDims(call.dims(0)));
    if (!ceilMode) return Math.floor(room / stride) + 1;
    const count = Math.ceil(room / stride) + 1;
    return (count - 1) * stride >= size + before ? count - 1 : count;
  });
}

function kernelOf(call: Call, weights: readonly Dim[]): readonly number[] {
  const kernel = weights.slice(2).map((_, axis) => call.size(1, axis + 2));
  const declared = call.ints('kernel_shape', kernel);
  if (formatDims(declared) !== formatDims(kernel))
    call.fail(`a kernel_shape of ${formatDims(kernel)}, as the weights have`, formatDims(declared));
  return kernel;
}

/** Input 0 and the weights of a convolution with equal rank; bias checked against `channels`. */
function checkBias(call: Call, channels: Dim): void {
  if (call.has(2) && formatDims(call.dims(2)) !== formatDims([channels]))
    call.fail(`a bias of [${channels}]`, formatDims(call.dims(2)));
}

const conv: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  call.ranked(0, 3, true);
  const weights = call.ranked(1, dims.length);
  call.sameType(0, 1, 2);
  const group = call.int('group', 1);
  const channels = weights[0] ?? 0;
  if (group < 1 || multiplyDims(weights[1] ?? 0, group) !== dims[1])
    call.fail(
      `${multiplyDims(weights[1] ?? 0, group)} input channels (weights ${formatDims(weights)}, group ${group})`,
      formatDims(dims),
    );
  if (divideDims(channels, group) === undefined)
    call.fail(`output channels that group ${group} divides`, String(channels));
  checkBias(call, channels);
  const sizes = slide(call, windowOf(call, kernelOf(call, weights)), false);
  return [{ dtype, dims: [dims[0] ?? 0, channels, ...sizes] }];
};

const convTranspose: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  call.ranked(0, 3, true);
  const weights = call.ranked(1, dims.length);
  call.sameType(0, 1, 2);
  const group = call.int('group', 1);
  if (weights[0] !== dims[1] || divideDims(dims[1] ?? 0, group) === undefined)
    call.fail(`${weights[0]} input channels (weights ${formatDims(weights)}, group ${group})`, formatDims(dims));
  const channels = multiplyDims(weights[1] ?? 0, group);
  checkBias(call, channels);
  const window = windowOf(call, kernelOf(call, weights));
  const rank = window.kernel.length;
  const extra = call.ints('output_padding', Array<number>(rank).fill(0));
  const declared = call.ints('output_shape', []).slice(-rank);
  const sizes = window.kernel.map((kernel, axis) => {
    const stride = window.strides[axis] ?? 1;
    const given = declared[axis];
    if (given !== undefined) return given;
    const size = call.size(0, axis + 2);
    if (window.autoPad.startsWith('SAME')) return size * stride;
    const padding = window.autoPad === 'VALID' ? 0 : (window.pads[axis] ?? 0) + (window.pads[axis + rank] ?? 0);
    return (size - 1) * stride + (extra[axis] ?? 0) + (kernel - 1) * (window.dilations[axis] ?? 1) + 1 - padding;
  });
  if (sizes.some((size) => size < 1)) call.fail('an output of at least one element', formatDims(sizes));
  return [{ dtype, dims: [dims[0] ?? 0, channels, ...sizes] }];
};

const pool: Inference = (call) => {
  const { dtype, dims } = call.typed(0, [...floatTypes, 'int8', 'uint8']);
  call.ranked(0, 3, true);
  const kernel = call.ints('kernel_shape', []);
  if (kernel.length !== dims.length - 2) call.fail(`a kernel_shape of ${dims.length - 2} sizes`, formatDims(kernel));
  const sizes = slide(call, windowOf(call, kernel), call.int('ceil_mode', 0) !== 0);
  const pooled = [dims[0] ?? 0, dims[1] ?? 0, ...sizes];
  return [
    { dtype, dims: pooled },
    { dtype: 'int64', dims: pooled },
  ];
};

const averagePool: Inference = (call) => pool(call).slice(0, 1);

const globalPool: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  call.ranked(0, 3, true);
  return [{ dtype, dims: dims.map((dim, axis) => (axis < 2 ? dim : 1)) }];
};

export const windows: Readonly<Record<string, Inference>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool,
  AveragePool: averagePool,
  LpPool: averagePool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
};
