// The gradient of Resize (ONNX 19), only for nearest-neighbour enlargement by whole factors: each element was copied to a block.

import { intsAttribute, textAttribute } from '../../onnx/index.ts';
import { axisFromFront, range } from '../ops.ts';
import type { Rule, RuleContext } from '../rule.ts';

export const resizeRule: Rule = (context) => {
  const { node, ops, gradient, refuse } = context;
  const x = node.inputs[0]!;
  if (textAttribute(node, 'mode', 'nearest') !== 'nearest')
    return refuse('only the mode "nearest" has a gradient rule');
  const from = ops.dims(x);
  const to = ops.dims(gradient);
  const factors = from.map((size, axis) => {
    const target = to[axis]!;
    if (size === target) return 1;
    return typeof size === 'number' && typeof target === 'number' ? target / size : Number.NaN;
  });
  if (!factors.every((factor, axis) => factor === 1 || copiesBlocks(context, axis, factor)))
    return refuse('only enlargement that copies each element to a block of whole size has a gradient rule');
  const apart = ops.reshapeTo(
    gradient,
    from.flatMap((size, axis) => [size, factors[axis]!]),
  );
  const repeated = range(from.length).filter((axis) => factors[axis] !== 1);
  return [
    ops.reshapeLike(
      ops.sum(
        apart,
        repeated.map((axis) => 2 * axis + 1),
        false,
      ),
      x,
    ),
  ];
};

/** Whether output element i of an axis is input element floor(i / factor), by the node's coordinate and rounding modes. */
function copiesBlocks({ node, ops }: RuleContext, axis: number, factor: number): boolean {
  const rank = ops.rank(node.inputs[0]!);
  const axes = intsAttribute(node, 'axes', range(rank)).map((at) => axisFromFront(at, rank));
  const size = ops.dims(node.inputs[0]!)[axis];
  if (!Number.isInteger(factor) || !axes.includes(axis) || typeof size !== 'number') return false;
  const coordinates = textAttribute(node, 'coordinate_transformation_mode', 'half_pixel');
  const rounding = textAttribute(node, 'nearest_mode', 'round_prefer_floor');
  return range(size * factor).every((at) => {
    const place = sourceCoordinate(coordinates, at, size, factor);
    const nearest = Math.min(size - 1, Math.max(0, round(rounding, place)));
    return nearest === Math.floor(at / factor);
  });
}

/** Where output element `at` lies on the input's axis; NaN for a mode without a rule. */
function sourceCoordinate(mode: string, at: number, size: number, factor: number): number {
  switch (mode) {
    case 'asymmetric':
      return at / factor;
    case 'half_pixel':
    case 'half_pixel_symmetric':
    case 'pytorch_half_pixel':
      return (at + 0.5) / factor - 0.5;
    case 'align_corners':
      return size * factor === 1 ? 0 : (at * (size - 1)) / (size * factor - 1);
    default:
      return Number.NaN;
  }
}

function round(mode: string, value: number): number {
  switch (mode) {
    case 'floor':
      return Math.floor(value);
    case 'ceil':
      return Math.ceil(value);
    case 'round_prefer_ceil':
      return Math.floor(value + 0.5);
    default:
      return Math.ceil(value - 0.5);
  }
}
