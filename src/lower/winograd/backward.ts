// The two gradients of a convolution, from the gradient dY of its output, together: so dY, and what it is made from, is read once, and need
// not be there as a whole. That of the weights is dM = (A ⊗ A) dY, dU = dM Vᵀ, dg = (Gᵀ ⊗ Gᵀ) dU, with V made again from the input,
// which is cheaper than to keep it. That of the input is a convolution of dY. That of the bias, a sum of dY, is a plane of dM.

import { type GraphBuilder, type Hint, int, ints } from '../../onnx/index.ts';
import { addChunks } from './chunks.ts';
import { addInputTransform, addProduct, addWeightTransform } from './convolution.ts';
import { type Order, phased } from './orders.ts';
import type { RowGraph } from './rows.ts';
import { chunkOf, type WinogradConv } from './rule.ts';
import { outputGradientTransform, planes, sumPlane, tile, weightGradientTransform } from './transforms.ts';

/**
 * Adds dw [out, in, 3, 3], and dx where `conv` is the convolution that gives it. Returns the sum of dy over records and pixels, [out].
 */
export function addBackward(graph: RowGraph, hint: Hint, conv: WinogradConv | undefined): string {
  const { builder } = graph;
  const [x = '', dy = ''] = hint.inputs;
  const [channels, height, width] = graph.sizes(x);
  const [out] = graph.sizes(dy);
  const chunk = chunkOf(graph.dims(x)[0] ?? 1, height, width);
  const input = graph.rows(x, chunk);
  const change = graph.inPhases(dy, chunk);
  const weights = conv && addWeightTransform(graph, conv.kernel);
  const order = phased(tile, height, width);
  const chunked = {
    values: [input.name, ...change.names],
    sums: [[9, out * channels], [out]],
    count: chunk === undefined ? undefined : graph.chunks(x, chunk),
  };
  const made = addChunks(builder, chunked, ({ builder: b, values: [image = '', ...rest], outer, sums }) => {
    const dyRows = change.make(b, rest);
    const transformed = addInputTransform(b, image, input.order, channels);
    const shares = addShares(b, { dy: dyRows, order: change.order, transformed, channels, out }, sums);
    if (!conv || weights === undefined) return { outputs: [], sums: shares };
    const dyTransformed = addInputTransform(b, dyRows, change.order, out);
    const kernel = { weights: outer(weights), turned: conv.kernel.turned };
    return { outputs: [addProduct(b, dyTransformed, kernel, { order, out: conv.out })], sums: shares };
  });
  const [dw = '', db = ''] = made.sums;
  const [dx] = made.outputs;
  graph.reshape(graph.transpose(dw, [1, 0]), [out, channels, 3, 3], [out, channels, 3, 3], hint.output);
  graph.havePlain(hint.output);
  if (conv && dx !== undefined) {
    // Without chunks the two are apart, and dY would wait until the last of all input gradients is there.
    const name = chunk === undefined ? graph.after(dx, dw) : dx;
    graph.haveRows(conv.node.outputs[0] as string, { name, order, chunk });
  }
  return db;
}

interface Factors {
  readonly dy: string;
  readonly order: Order;
  /** V. */
  readonly transformed: string;
  readonly channels: number;
  readonly out: number;
}

/** Adds this chunk's share of dw as [9, out·in] and of db to the sums before it, if there are any. */
function addShares(
  b: GraphBuilder,
  { dy, order, transformed, channels, out }: Factors,
  [before, sum]: readonly string[],
): readonly string[] {
  // Records and pixels last, once for the 16 places instead of the 36 planes: a product that must turn its factor runs at half speed.
  const parted = b.add('Reshape', [dy, b.integers([tile * tile, -1, out])]);
  const turned = b.add('Transpose', [parted], { perm: ints([0, 2, 1]) });
  const flat = b.add('Reshape', [turned, b.integers([tile * tile, -1])]);
  const inPlanes = b.add('MatMul', [b.constant(outputGradientTransform(order.phases ?? []), 'a'), flat]);
  const changes = b.add('Reshape', [inPlanes, b.integers([planes, out, -1])]);
  const product = b.add('Reshape', [b.add('MatMul', [changes, transformed]), b.integers([planes, out * channels])]);
  const share = [b.constant(weightGradientTransform, 'gt'), product];
  const ofPlane = b.add('Gather', [changes, b.constant({ dtype: 'int32', dims: [], data: Int32Array.of(sumPlane) })]);
  const total = b.add('ReduceSum', [ofPlane, b.integers([1])], { keepdims: int(0) });
  return [
    before === undefined ? b.add('MatMul', share) : b.add('Gemm', [...share, before]),
    sum === undefined ? total : b.add('Add', [sum, total]),
  ];
}
