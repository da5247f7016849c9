// A convolution of 3 x 3, stride 1 and pad 1 in the transformed domain, and what its two gradients share with it. An input's gradient is a
// convolution of the output's gradient with the turned kernel, so that it comes here as one.

import { type Dim, type GraphBuilder, int, ints } from '../../onnx/index.ts';
import { zeros } from '../../tensor/index.ts';
import { type Order, phased, windowed } from './orders.ts';
import { addChunks } from './chunks.ts';
import type { RowGraph, Rows } from './rows.ts';
import type { Kernel, WinogradConv } from './rule.ts';
import {
  inputTransform,
  outputTransform,
  planes,
  reach,
  tile,
  turnedWeightTransform,
  weightTransform,
} from './transforms.ts';

/** What the pool after a convolution keeps for its gradient: where the second of two is greater, bool [P/4, N, C]. */
export interface Windows {
  readonly pooled: Rows;
  /** In the upper row, in the lower row, between the maxima of the rows. */
  readonly seconds: readonly [upper: string, lower: string, rows: string];
}

/** For each plane and tile the row of its input pixel; one past the last row outside of the image. */
function tileRows(order: Order): Int32Array<ArrayBuffer> {
  const { height, width } = order;
  const [down, across] = [height / tile, width / tile];
  const rows = new Int32Array(planes * down * across);
  let at = 0;
  for (let i = 0; i < reach; i++)
    for (let j = 0; j < reach; j++)
      for (let ty = 0; ty < down; ty++)
        for (let tx = 0; tx < across; tx++) {
          const [y, x] = [ty * tile + i - 1, tx * tile + j - 1];
          const inside = y >= 0 && y < height && x >= 0 && x < width;
          rows[at++] = inside ? order.rowOf(y, x) : height * width;
        }
  return rows;
}

/** V = (Bᵀ ⊗ Bᵀ) D: rows [P, n, C] → [36, tiles·n, C]. */
export function addInputTransform(builder: GraphBuilder, value: string, order: Order, channels: number): string {
  const rows = tileRows(order);
  const index = builder.constant({ dtype: 'int32', dims: [rows.length], data: rows }, 'tiles');
  const padded = builder.add('Concat', [value, zeroRow(builder, value)], { axis: int(0) });
  const tiles = builder.add('Gather', [padded, index], { axis: int(0) });
  const flat = builder.add('Reshape', [tiles, builder.integers([planes, -1])]);
  const transformed = builder.add('MatMul', [builder.constant(inputTransform, 'bt'), flat]);
  return builder.add('Reshape', [transformed, builder.integers([planes, -1, channels])]);
}

/** Zeros [1, n, C], which stand for every pixel outside of the image. */
function zeroRow(builder: GraphBuilder, value: string): string {
  const [, records, channels] = builder.dimsOf(value) as readonly [Dim, Dim, number];
  if (typeof records === 'number') return builder.constant(zeros('float32', [1, records, channels]), 'zeros');
  const shape = builder.add('Shape', [value], { start: int(1), end: int(3) });
  return builder.add('ConstantOfShape', [builder.add('Concat', [builder.integers([1]), shape], { axis: int(0) })]);
}

/** U = (G ⊗ G) g: weights [out, in, 3, 3] → [36, out, in], or of the turned kernel [36, in, out]. */
export function addWeightTransform(graph: RowGraph, { weights, turned }: Kernel): string {
  const { builder } = graph;
  const [out, channels] = graph.dims(weights) as readonly [number, number];
  const flat = builder.add('Reshape', [graph.plain(weights), builder.integers([out * channels, 9])]);
  const matrix = builder.constant(turned ? turnedWeightTransform : weightTransform, 'g');
  const transformed = builder.add('Gemm', [matrix, flat], { transB: int(1) });
  return builder.add('Reshape', [transformed, builder.integers([planes, out, channels])]);
}

/** M = V U, Y = (Aᵀ ⊗ Aᵀ) M: [36, tiles·n, in] → rows [P, n, out] with the 16 places of the tiles as `order` says. */
export function addProduct(
  builder: GraphBuilder,
  transformed: string,
  kernel: { readonly weights: string; readonly turned: boolean },
  { order, out }: { readonly order: Order; readonly out: number },
): string {
  const weights = kernel.turned
    ? kernel.weights
    : builder.add('Transpose', [kernel.weights], { perm: ints([0, 2, 1]) });
  const product = builder.add('MatMul', [transformed, weights]);
  const flat = builder.add('Reshape', [product, builder.integers([planes, -1])]);
  const result = builder.add('MatMul', [builder.constant(outputTransform(order.phases ?? []), 'at'), flat]);
  return builder.add('Reshape', [result, builder.integers([order.height * order.width, -1, out])]);
}

/** Adds the convolution, its bias, and the Relu after it when `relu` names its output. */
export function addConv(graph: RowGraph, conv: WinogradConv, relu: string | undefined): void {
  const { height, width, chunk } = conv;
  const order = phased(tile, height, width);
  const [name = ''] = addTransformed(graph, conv, order, (builder, rows, bias) => {
    const sum = bias === undefined ? rows : builder.add('Add', [rows, bias]);
    return [relu === undefined ? sum : builder.add('Relu', [sum])];
  });
  graph.haveRows(relu ?? (conv.node.outputs[0] as string), { name, order, chunk });
}

/** Adds Conv, Relu and a 2 x 2 maximum as one. The bias is added to the maxima: the same for each place of a window, it decides nothing. */
export function addPooledConv(graph: RowGraph, conv: WinogradConv, pooled: string): Windows {
  const { height, width, chunk } = conv;
  const [name = '', upper = '', lower = '', rows = ''] = addTransformed(
    graph,
    conv,
    windowed(height, width),
    (builder, image, bias) => {
      const places = builder.split(
        image,
        0,
        [0, 1, 2, 3].map(() => (height * width) / 4),
      );
      const [a = '', b = '', c = '', d = ''] = places;
      const [top, bottom] = [builder.add('Max', [a, b]), builder.add('Max', [c, d])];
      const maximum = builder.add('Max', [top, bottom]);
      const sum = bias === undefined ? maximum : builder.add('Add', [maximum, bias]);
      const greater = (second: string, first: string): string => builder.add('Greater', [second, first]);
      return [builder.add('Relu', [sum]), greater(b, a), greater(d, c), greater(bottom, top)];
    },
  );
  const order = phased(2, height / 2, width / 2);
  graph.haveRows(pooled, { name, order, chunk });
  return { pooled: { name, order, chunk }, seconds: [upper, lower, rows] };
}

function addTransformed(
  graph: RowGraph,
  conv: WinogradConv,
  order: Order,
  finish: (builder: GraphBuilder, rows: string, bias: string | undefined) => readonly string[],
): readonly string[] {
  const { x, bias, kernel, chunk, channels, out } = conv;
  const input = graph.rows(x, chunk);
  const weights = addWeightTransform(graph, kernel);
  const offset = bias === undefined ? undefined : graph.plain(bias);
  const chunked = { values: [input.name], sums: [], count: chunk === undefined ? undefined : graph.chunks(x, chunk) };
  return addChunks(graph.builder, chunked, ({ builder, values: [value = ''], outer }) => {
    const transformed = addInputTransform(builder, value, input.order, channels);
    const rows = addProduct(builder, transformed, { weights: outer(weights), turned: kernel.turned }, { order, out });
    return { outputs: finish(builder, rows, offset === undefined ? undefined : outer(offset)), sums: [] };
  }).outputs;
}
