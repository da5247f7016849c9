// Which operations the blocked kernels can do.

import { type Hint, intAttribute, intsAttribute, type Node, textAttribute, type ValueType } from '../onnx/index.ts';
import { numbers, type Taking } from './analysis.ts';

/** A convolution that the blocked kernels can do. */
export interface BlockedConv {
  readonly node: Node;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: readonly [number, number];
  readonly strides: readonly number[];
  /** Top, left, bottom, right. */
  readonly pads: readonly number[];
  readonly outSize: readonly [number, number];
  /** The input stays as it is: it has fewer channels than a block. */
  readonly plainInput: boolean;
}

/** What can be computed in blocks of `block` channels. */
export function takingOfBlocks(block: number): Taking<BlockedConv> {
  return {
    conv: (node, types) => blockedConv(node, types, block),
    hint: (hint, types) => canTake(hint, types, block),
    phases: canBePhased,
    fits: ([channels = 0]) => channels % block === 0,
    pools: true,
  };
}

/** Whether the four places of a pool's window can be computed as convolutions of stride 2. */
function canBePhased(conv: BlockedConv, types: ReadonlyMap<string, ValueType>): boolean {
  const input = numbers(types.get(conv.node.inputs[0] ?? '')?.dims, 2);
  if (!input || conv.strides.some((stride) => stride !== 1) || conv.outSize.some((size) => size % 2 !== 0))
    return false;
  return [0, 1].every((place) => phasePads(conv, input, place, place).every((pad) => pad >= 0));
}

function blockedConv(node: Node, types: ReadonlyMap<string, ValueType>, block: number): BlockedConv | undefined {
  if (node.op !== 'Conv' || node.domain !== '') return undefined;
  const [x = '', w = ''] = node.inputs;
  const weights = numbers(types.get(w)?.dims, 0);
  const input = numbers(types.get(x)?.dims, 1);
  const output = numbers(types.get(node.outputs[0] ?? '')?.dims, 1);
  if (weights?.length !== 4 || input?.length !== 3 || output?.length !== 3) return undefined;
  const [outChannels = 0, inChannels = 0, height = 0, width = 0] = weights;
  if (intAttribute(node, 'group', 1) !== 1 || outChannels % block !== 0) return undefined;
  const plainInput = inChannels < block;
  if (!plainInput && inChannels % block !== 0) return undefined;
  if (intsAttribute(node, 'dilations', [1, 1]).some((dilation) => dilation !== 1)) return undefined;
  if (!['NOTSET', 'VALID'].includes(textAttribute(node, 'auto_pad', 'NOTSET'))) return undefined;
  return {
    node,
    inChannels,
    outChannels,
    kernel: [height, width],
    strides: intsAttribute(node, 'strides', [1, 1]),
    pads: intsAttribute(node, 'pads', [0, 0, 0, 0]),
    outSize: [output[1] ?? 0, output[2] ?? 0],
    plainInput,
  };
}

function canTake(hint: Hint, types: ReadonlyMap<string, ValueType>, block: number): boolean {
  // Its nodes go into blocks one by one.
  if (hint.op === 'ReluGradient') return false;
  const [first = '', second = ''] = hint.inputs;
  const input = numbers(types.get(first)?.dims, 1);
  const given = numbers(types.get(second)?.dims, 1);
  if (input?.length !== 3 || given?.length !== 3) return false;
  if (hint.op === 'ReluMaxPoolGradient') return true;
  const records = types.get(first)?.dims[0];
  if (hint.op === 'ConvWeightGradient' && typeof records === 'number' && records % block !== 0) return false;
  if (
    hint.op === 'ConvRecordGradients' &&
    ((input[0] ?? 0) >= block || given.some((size, axis) => axis > 0 && size % 2 !== 0))
  )
    return false;
  const asNode = { attributes: hint.attributes } as Node;
  const ones = [...intsAttribute(asNode, 'strides', []), ...intsAttribute(asNode, 'dilations', [])];
  const pads = intsAttribute(asNode, 'pads', []);
  return (
    ones.every((one) => one === 1) &&
    pads.every((pad) => pad >= 0) &&
    intAttribute(asNode, 'group', 1) === 1 &&
    (given[0] ?? 0) % block === 0
  );
}

/** The pads of the stride-2 convolution that gives row `py` and column `px` of each pool window: top, left, bottom, right. */
export function phasePads(conv: BlockedConv, input: readonly number[], py: number, px: number): readonly number[] {
  const begins = [(conv.pads[0] ?? 0) - py, (conv.pads[1] ?? 0) - px];
  const ends = begins.map(
    (begin, axis) => (conv.outSize[axis] ?? 0) - 2 + (conv.kernel[axis] ?? 0) - (input[axis] ?? 0) - begin,
  );
  return [...begins, ...ends];
}
