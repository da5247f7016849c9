// The gradient of a convolution's weights as one convolution on blocked images (FAST.md's recipe): the input's channels are its batch,
// the records its channels, and the output's gradient a kernel as large as the image.

import { type Hint, intsAttribute, type Node } from '../onnx/index.ts';
import type { Blocks } from './blocks.ts';
import { convAttributes } from './convolution.ts';

/** Adds dw. The number of records must be a multiple of the block. */
export function addWeightGradient(blocks: Blocks, hint: Hint): void {
  const { block, builder } = blocks;
  const [x = '', dy = ''] = hint.inputs;
  const [inChannels, inHeight, inWidth] = blocks.sizes(x);
  const [outChannels, height, width] = blocks.sizes(dy);
  const [top = 0, left = 0, bottom = 0, right = 0] = intsAttribute(hint as unknown as Node, 'pads', []);
  const kernel = intsAttribute(hint as unknown as Node, 'kernel_shape', []);
  const taps = kernel.reduce((product, size) => product * size, 1);
  const records = blocks.dims(x)[0] ?? 'N';

  // Each of the two is as large as its image, and is changed in steps that hold two of that size. So: first the gradient, whose own parts
  // are then gone; then the input, whole; last the gradient's change, which holds but one.
  const arrived = blocks.after(blocks.plain(x), [blocks.blocked(dy)], blocks.dims(x));
  let images = blocks.transpose(arrived, [1, 0, 2, 3]);
  const pads = [0, 0, top, left, 0, 0, bottom, right];
  // The kernel's own padding would cost three times as much as a padded input.
  if (pads.some((pad) => pad > 0)) images = builder.add('Pad', [images, builder.integers(pads)]);
  const padded = blocks.reorderIn(images, [inChannels, records, inHeight + top + bottom, inWidth + left + right]);

  const outs = outChannels / block;
  const batches = typeof records === 'number' ? records / block : 'batches';
  const parted = blocks.reshape(
    blocks.after(blocks.blocked(dy), [padded], blocks.dims(dy), 1),
    [-1, block, outs, height * width, block],
    [batches, block, outs, height * width, block],
  );
  const gradient = blocks.reshape(
    blocks.transpose(parted, [2, 0, 3, 1, 4]),
    [outChannels, -1, height, width],
    [outChannels, records, height, width],
  );

  const product = blocks.foreign('Conv', [padded, gradient], convAttributes([height, width], [0, 0, 0, 0], [1, 1]), [
    inChannels,
    outChannels,
    ...kernel,
  ]);
  const blocked = blocks.reshape(product, [inChannels, outs, taps, block]);
  blocks.reshape(blocks.transpose(blocked, [1, 3, 0, 2]), [outChannels, inChannels, ...kernel], undefined, hint.output);
  blocks.havePlain(hint.output);
}
