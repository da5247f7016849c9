// Gradients of a Relu, and of a Relu with a 2 x 2 maximum after it. They are cheap and as large as their image, so that they are computed
// where they are read, a chunk at a time.

import { type GraphBuilder, type Hint, int } from '../../onnx/index.ts';
import { float32 } from '../../tensor/index.ts';
import type { Windows } from './convolution.ts';
import { windowed } from './orders.ts';
import type { RowGraph } from './rows.ts';

/** `change` where `value` is positive, else 0. */
export function addGate(builder: GraphBuilder, value: string, change: string, output = builder.fresh('gated')): string {
  const open = builder.add('Greater', [value, builder.constant(float32([0], []))]);
  return builder.add('Mul', [change, indicator(builder, open)], {}, { output });
}

/** The gradient of a Relu's input, to be computed where it is read. */
export function haveReluGradient(graph: RowGraph, { inputs: [y = '', dy = ''], output }: Hint): void {
  const { name, order, chunk } = graph.anyRows(y);
  const change = graph.rows(dy, chunk, order);
  const make = (builder: GraphBuilder, [value = '', gradient = '']: readonly string[]): string =>
    addGate(builder, value, gradient);
  graph.haveParts(output, { names: [name, change.name], order, chunk, make });
}

/**
 * The gradient of the convolution's output from that of its pool's, to be computed where it is read. At the size of the pool: the second of
 * two takes it only where it is greater, so that a tie goes to the first.
 */
export function havePoolGradient(graph: RowGraph, { pooled, seconds }: Windows, hint: Hint): void {
  const [, height, width] = graph.sizes(hint.output);
  const change = graph.rows(hint.inputs[2] ?? '', pooled.chunk, pooled.order);
  graph.haveParts(hint.output, {
    names: [change.name, pooled.name, ...seconds],
    order: windowed(height, width),
    chunk: pooled.chunk,
    make: addPlaces,
  });
}

function addPlaces(
  builder: GraphBuilder,
  [change = '', maximum = '', upper = '', lower = '', rows = '']: readonly string[],
): string {
  const share = (whole: string, second: string): readonly [string, string] => {
    const toSecond = builder.add('Mul', [whole, indicator(builder, second)]);
    return [builder.add('Sub', [whole, toSecond]), toSecond];
  };
  const [inUpper, inLower] = share(addGate(builder, maximum, change), rows);
  return builder.add('Concat', [...share(inUpper, upper), ...share(inLower, lower)], { axis: int(0) });
}

function indicator(builder: GraphBuilder, mask: string): string {
  return builder.add('Cast', [mask], { to: int(1) });
}
