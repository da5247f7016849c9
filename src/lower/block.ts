// ONNX Runtime's CPU kernels keep images in blocks of channels: [N, C/B, H, W, B] in memory where ONNX has [N, C, H, W]. B depends on the
// processor's vectors (16 channels with AVX-512, 8 with AVX2), and so does whether the operators are there at all: it is asked, not assumed.

import { type Graph, GraphBuilder, int } from '../onnx/index.ts';

/** The domain of the operators on blocked data; internal to ONNX Runtime, so its version is pinned. */
export const blockedDomain = 'com.microsoft.nchwc';

const channels = 64;

/** A graph with input x [1, 64, 1, 2] whose output shows how many channels a block has. */
export function blockProbe(): { readonly graph: Graph; readonly x: Float32Array<ArrayBuffer> } {
  const builder = new GraphBuilder('block-probe');
  builder.useOpset(blockedDomain, 1);
  const x = builder.input('x', 'float32', [1, channels, 1, 2]);
  const reorder = { op: 'ReorderInput', domain: blockedDomain, inputs: [x], attributes: { channels_last: int(0) } };
  const [blocked = ''] = builder.addTyped({ ...reorder, outputs: ['blocked'] }, [builder.typeOf(x)]);
  builder.output(builder.add('Reshape', [blocked, builder.integers([2 * channels])], {}, { output: 'y' }));
  return { graph: builder.build(), x: Float32Array.from({ length: 2 * channels }, (_, index) => index) };
}

/** The channels in a block, from the probe's output: the second pixel of channel 0 (the value 1) comes after a block's first pixels. */
export function blockFrom(y: ArrayLike<number>): number | undefined {
  const block = Array.from(y).indexOf(1);
  return block === 8 || block === 16 ? block : undefined;
}
