// Pools on blocked images. A 2 x 2 maximum after a convolution is computed without the convolution's output ever being stored: four
// convolutions of stride 2, one for each place in the window, and their maximum. Its gradient goes back the same way at the pool's size.

import { type Dim, type Hint, int, ints, intsAttribute, type Node } from '../onnx/index.ts';
import { float32 } from '../tensor/index.ts';
import type { PhasedPool } from './analysis.ts';
import { type BlockedConv, phasePads } from './blocked-conv.ts';
import type { Blocks } from './blocks.ts';
import { convAttributes, convInputs } from './convolution.ts';

/** What a phased pool keeps for its gradient, all in blocks at the pool's size. */
export interface Phases {
  readonly y: string;
  /** Where the second of two is greater, bool: in the upper row, in the lower row, between the maxima of the rows. */
  readonly seconds: readonly [upper: string, lower: string, rows: string];
}

/** Adds Conv, Relu and pool as one. */
export function addPhasedPool(blocks: Blocks, { conv, y }: PhasedPool<BlockedConv>): Phases {
  const inputs = convInputs(blocks, conv);
  const size = blocks.sizes(conv.node.inputs[0] ?? '').slice(1);
  const place = (py: number, px: number): string =>
    blocks.foreign('Conv', inputs, convAttributes(conv.kernel, phasePads(conv, size, py, px), [2, 2]), blocks.dims(y));
  const places = [place(0, 0), place(0, 1), place(1, 0), place(1, 1)] as const;
  const rows = [blocks.add('Max', places[0], places[1]), blocks.add('Max', places[2], places[3])] as const;
  const seconds = [
    blocks.add('Greater', places[1], places[0]),
    blocks.add('Greater', places[3], places[2]),
    blocks.add('Greater', rows[1], rows[0]),
  ] as const;
  // Only the gradient reads the comparisons. Left to then, they would keep six float32 values alive in the place of three of a byte.
  const maximum = blocks.add('Relu', blocks.add('Max', ...rows));
  const pooled = blocks.after(maximum, seconds, blocks.dims(y));
  blocks.haveBlocked(y, pooled);
  return { y: pooled, seconds };
}

/** The gradient of a phased pool's Conv before it is put side by side, in blocks at the pool's size. */
export interface PhasedGradient {
  /** That of the pool's output, stopped where the Relu stops it: the sum of the four. */
  readonly gated: string;
  /** For each place in the window, by row and column. */
  readonly places: readonly (readonly [string, string])[];
}

/** Adds the gradient of Conv's output from that of the pool's. */
export function addPhasedPoolGradient(blocks: Blocks, phases: Phases, hint: Hint): PhasedGradient {
  const zero = blocks.builder.constant(float32([0], []));
  const indicator = (mask: string): string => blocks.builder.add('Cast', [mask], { to: int(1) });
  const open = indicator(blocks.add('Greater', phases.y, zero));
  const gated = blocks.add('Mul', blocks.blocked(hint.inputs[2] ?? ''), open);
  // The second of two takes the gradient only where it is greater: a tie goes to the first.
  const share = (gradient: string, second: string): readonly [string, string] => {
    const toSecond = blocks.add('Mul', gradient, indicator(second));
    return [blocks.add('Sub', gradient, toSecond), toSecond];
  };
  const [inUpper, inLower, inRows] = phases.seconds;
  const [upper, lower] = share(gated, inRows);
  const places = [share(upper, inUpper), share(lower, inLower)];
  blocks.haveBlocked(hint.output, interleave(blocks, places, hint));
  return { gated, places };
}

/** The four places' gradients side by side again. */
function interleave(blocks: Blocks, parts: readonly (readonly [string, string])[], hint: Hint): string {
  const { block } = blocks;
  const [channels, height, width] = blocks.sizes(hint.output);
  const [count, h, w] = [channels / block, height / 2, width / 2];
  const lines = parts.map((pair) => {
    const columns = pair.map((part) => blocks.reshape(part, [0, count, h, w, 1, block]));
    return blocks.reshape(blocks.concat(columns, 4), [0, count, h, 1, width, block]);
  });
  return blocks.reshape(blocks.concat(lines, 3), [0, channels, height, width]);
}

/** Adds any other pool whose input is in blocks. */
export function addPool(blocks: Blocks, node: Node): void {
  const [output = ''] = node.outputs;
  const dims: readonly Dim[] = blocks.dims(output);
  const attributes = {
    ...node.attributes,
    pads: ints(intsAttribute(node, 'pads', [0, 0, 0, 0])),
    strides: ints(intsAttribute(node, 'strides', [1, 1])),
  };
  blocks.haveBlocked(output, blocks.foreign(node.op, [blocks.blocked(node.inputs[0] ?? '')], attributes, dims));
}
