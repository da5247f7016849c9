// Each record's share of the weights' gradient of a convolution of few channels before a phased pool, at the pool's size: what one window
// of the pool saw of the input is one patch, and each place in the window saw a part of it.

import { intsAttribute, type Hint, type Node } from '../onnx/index.ts';
import { tensor } from '../tensor/index.ts';
import type { Blocks } from './blocks.ts';
import { convAttributes } from './convolution.ts';
import type { PhasedGradient } from './pool.ts';

/** Adds [N, out, in · kernel]. */
export function addRecordGradients(blocks: Blocks, hint: Hint, { places }: PhasedGradient): void {
  const { block, builder } = blocks;
  const [x = '', dy = ''] = hint.inputs;
  const [channels] = blocks.sizes(x);
  const [out] = blocks.sizes(dy);
  const [height = 0, width = 0] = intsAttribute(hint as unknown as Node, 'kernel_shape', []);
  const { rows, taps } = addPatches(blocks, hint);
  const parts = places.flatMap((pair, py) =>
    pair.map((place, px) => {
      const gradient = blocks.reshape(place, [0, out / block, 1, -1, block]);
      const product = blocks.add('MatMul', blocks.transpose(gradient, [0, 1, 2, 4, 3]), rows);
      const whole = blocks.reshape(blocks.transpose(product, [0, 1, 3, 2, 4]), [0, out, -1]);
      const patch = blocks.reshape(firstOf(blocks, whole, taps), [0, out, channels, height + 1, width + 1]);
      return builder.add('Slice', [
        patch,
        builder.integers([py, px]),
        builder.integers([py + height, px + width]),
        builder.integers([3, 4]),
      ]);
    }),
  );
  const [a = '', b = '', c = '', d = ''] = parts;
  const sum = blocks.add('Add', blocks.add('Add', a, b), blocks.add('Add', c, d));
  blocks.reshape(sum, [0, out, channels * height * width], undefined, hint.output);
  blocks.havePlain(hint.output);
}

/** The patches [N, 1, taps / B, h · w, B] that the windows saw, and how many of the taps are real: the last block is filled with zeros. */
function addPatches(blocks: Blocks, hint: Hint): { readonly rows: string; readonly taps: number } {
  const { block, builder } = blocks;
  const [x = '', dy = ''] = hint.inputs;
  const [channels, inHeight, inWidth] = blocks.sizes(x);
  const [, outHeight, outWidth] = blocks.sizes(dy);
  const [top = 0, left = 0] = intsAttribute(hint as unknown as Node, 'pads', []);
  const kernel = intsAttribute(hint as unknown as Node, 'kernel_shape', []).map((size) => size + 1);
  const [height = 0, width = 0] = kernel;
  const taps = channels * height * width;
  const filled = Math.ceil(taps / block) * block;
  // As the kernel reads them: for each block of outputs, for each tap of the input, the block's outputs.
  const oneHot = new Float32Array(filled * taps);
  for (let tap = 0; tap < taps; tap++) oneHot[(Math.floor(tap / block) * taps + tap) * block + (tap % block)] = 1;
  const weights = builder.constant(tensor('float32', [filled, channels, height, width], oneHot));
  const sizes = [outHeight / 2, outWidth / 2] as const;
  const ends = [(sizes[0] - 1) * 2 + height - inHeight - top, (sizes[1] - 1) * 2 + width - inWidth - left] as const;
  const patches = blocks.foreign(
    'Conv',
    [blocks.plain(x), weights],
    convAttributes(kernel, [top, left, ...ends], [2, 2]),
    [blocks.dims(x)[0] ?? 'N', filled, ...sizes],
  );
  return { rows: blocks.reshape(patches, [0, 1, filled / block, sizes[0] * sizes[1], block]), taps };
}

/** The first `count` of the last axis. */
function firstOf(blocks: Blocks, value: string, count: number): string {
  const { builder } = blocks;
  if (builder.dimsOf(value).at(-1) === count) return value;
  return builder.add('Slice', [value, ...[0, count, -1].map((one) => builder.integers([one]))]);
}
