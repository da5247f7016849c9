// Gradients of operators that repeat, reorder or retype elements: the gradient is taken back to the input's shape.

import { intAttribute, intsAttribute } from '../../onnx/index.ts';
import { range } from '../ops.ts';
import type { Rule } from '../rule.ts';

const sameElements: Rule = ({ node, ops, gradient }) => [ops.reshapeLike(gradient, node.inputs[0]!)];

const identity: Rule = ({ gradient }) => [gradient];

const cast: Rule = ({ node, ops, builder, gradient }) => [ops.cast(gradient, builder.typeOf(node.inputs[0]!).dtype)];

const transpose: Rule = ({ node, ops, gradient }) => {
  const perm = intsAttribute(node, 'perm', range(ops.rank(gradient)).toReversed());
  const inverse = range(perm.length).map((axis) => perm.indexOf(axis));
  return [ops.transpose(gradient, inverse)];
};

const expand: Rule = ({ node, ops, gradient }) => [ops.reduceTo(gradient, node.inputs[0]!)];

/** Each axis of the output is [repeats, size]: the gradient is summed over the repeats. */
const tile: Rule = ({ node, ops, builder, gradient, refuse }) => {
  const x = node.inputs[0]!;
  const repeats = builder.constantOf(node.inputs[1]!);
  if (!repeats) return refuse('its repeats must be constant');
  const counts = Array.from(repeats.data as BigInt64Array, Number);
  const apart = ops.reshapeTo(
    gradient,
    ops.dims(x).flatMap((dim, axis) => [counts[axis]!, dim]),
  );
  const axes = counts.map((_, axis) => 2 * axis);
  return [ops.sum(apart, axes, false)];
};

/** Outside training mode dropout passes everything on. */
const dropout: Rule = ({ node, builder, gradient, refuse }) => {
  const mode = node.inputs[2] ?? '';
  if (mode !== '' && Number(builder.constantOf(mode)?.data[0] ?? 1) !== 0)
    return refuse('dropout in training mode has no counted mask; take the training form of the graph first');
  return [gradient];
};

/** The blocks of DepthToSpace are put back by SpaceToDepth and a reordering of channels, and the other way round. */
const depthToSpace: Rule = ({ node, ops, gradient }) => {
  const block = intAttribute(node, 'blocksize', 1);
  const [, channels, height, width] = ops.dims(node.inputs[0]!) as [unknown, number, number, number];
  const depth = channels / (block * block);
  const columnRow = node.attributes['mode']?.kind === 'string' && node.attributes['mode'].value === 'CRD';
  // [batch, depth, height, block, width, block]
  const apart = ops.reshape(gradient, [-1, depth, height, block, width, block]);
  const together = ops.transpose(apart, columnRow ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]);
  return [ops.reshape(together, [-1, channels, height, width])];
};

const spaceToDepth: Rule = ({ node, builder, gradient }) => [
  builder.add('DepthToSpace', [gradient], {
    blocksize: { kind: 'int', value: intAttribute(node, 'blocksize', 1) },
  }),
];

export const shapeRules: Readonly<Record<string, Rule>> = {
  Cast: cast,
  DepthToSpace: depthToSpace,
  Dropout: dropout,
  Expand: expand,
  Flatten: sameElements,
  Identity: identity,
  Reshape: sameElements,
  SpaceToDepth: spaceToDepth,
  Squeeze: sameElements,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: sameElements,
};
