// A convolution on blocked images.

import { int, ints, text } from '../onnx/index.ts';
import type { BlockedConv } from './blocked-conv.ts';
import type { Blocks } from './blocks.ts';

/** Attributes of ONNX Runtime's blocked Conv, which takes none of ONNX's defaults. */
export function convAttributes(kernel: readonly number[], pads: readonly number[], strides: readonly number[]) {
  return {
    auto_pad: text('NOTSET'),
    dilations: ints([1, 1]),
    group: int(1),
    kernel_shape: ints(kernel),
    pads: ints(pads),
    strides: ints(strides),
  };
}

/** Adds the convolution, with the Relu after it when `relu` names its output. */
export function addConv(blocks: Blocks, conv: BlockedConv, relu: string | undefined): void {
  const output = conv.node.outputs[0] as string;
  const attributes = convAttributes(conv.kernel, conv.pads, conv.strides);
  const name = blocks.foreign(
    'Conv',
    convInputs(blocks, conv),
    relu === undefined ? attributes : { ...attributes, activation: text('Relu') },
    blocks.dims(output),
  );
  blocks.haveBlocked(relu ?? output, name);
}

/** Input, weights and bias as the blocked Conv wants them. */
export function convInputs(blocks: Blocks, conv: BlockedConv): string[] {
  const [x = '', w = '', bias = ''] = conv.node.inputs;
  const inputs = [conv.plainInput ? blocks.plain(x) : blocks.blocked(x), blockedWeights(blocks, conv, w)];
  return bias === '' ? inputs : [...inputs, blocks.plain(bias)];
}

/**
 * Weights [out, in, h, w] as the kernel reads them: for each block of outputs and of inputs, for each tap, inputs times outputs. A plain
 * input's channels are not in blocks.
 */
function blockedWeights(
  blocks: Blocks,
  { inChannels, outChannels, kernel, plainInput }: BlockedConv,
  w: string,
): string {
  const { block } = blocks;
  const [height, width] = kernel;
  const outs = outChannels / block;
  const weights = blocks.plain(w);
  const dims = [outChannels, inChannels, height, width];
  if (plainInput) {
    const parted = blocks.reshape(weights, [outs, block, inChannels, height, width]);
    return blocks.reshape(blocks.transpose(parted, [0, 2, 3, 4, 1]), dims);
  }
  const parted = blocks.reshape(weights, [outs, block, inChannels / block, block, height, width]);
  return blocks.reshape(blocks.transpose(parted, [0, 2, 4, 5, 3, 1]), dims);
}
