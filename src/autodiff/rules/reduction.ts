// Gradients of reductions over axes (ONNX 18; axes as an input or, before, as an attribute).

import { intAttribute, intsAttribute } from '../../onnx/index.ts';
import { axisFromFront, range, type Ops } from '../ops.ts';
import type { Rule, RuleContext } from '../rule.ts';

/** The axes a reduction sums over, from the front; empty where it does nothing. */
function axesOf({ node, builder, ops, refuse }: RuleContext): number[] {
  const rank = ops.rank(node.inputs[0]!);
  const input = node.inputs[1] ?? '';
  let axes: readonly number[] = intsAttribute(node, 'axes', []);
  if (input !== '') {
    const known = builder.constantOf(input);
    if (!known) return refuse(`its axes "${input}" must be constant`);
    axes = Array.from(known.data as BigInt64Array, Number);
  }
  if (axes.length > 0) return axes.map((axis) => axisFromFront(axis, rank));
  return intAttribute(node, 'noop_with_empty_axes', 0) === 1 ? [] : range(rank);
}

/** A value of the reduction's output shape with the reduced axes put back as 1. */
function kept(context: RuleContext, value: string, axes: readonly number[]): string {
  return intAttribute(context.node, 'keepdims', 1) === 1 ? value : context.ops.unsqueeze(value, axes);
}

/** A rule from dx in terms of x, y and dy, the latter two with the reduced axes as 1. */
function reduction(rule: (ops: Ops, x: string, y: string, dy: string, axes: readonly number[]) => string): Rule {
  return (context) => {
    const { node, ops, gradient } = context;
    const axes = axesOf(context);
    const dy = kept(context, gradient, axes);
    const y = kept(context, node.outputs[0]!, axes);
    return [ops.expandLike(rule(ops, node.inputs[0]!, y, dy, axes), node.inputs[0]!)];
  };
}

/** The number of elements that were reduced to one, as a float32 scalar of the graph. */
export function reducedCount(ops: Ops, x: string, axes: readonly number[]): string {
  const sizes = axes.map((axis) => ops.dims(x)[axis]!);
  if (sizes.every((size) => typeof size === 'number')) return ops.scalar(sizes.reduce((a, b) => a * b, 1));
  const parts = axes.map((axis) => ops.gather(ops.shapeOf(x), 0, [axis]));
  const counts = parts.map((part) => ops.cast(ops.squeeze(part, [0]), 'float32'));
  return counts.reduce((a, b) => ops.mul(a, b));
}

/** y = max or min: dy in equal shares to all elements that equal y, as PyTorch's amax and amin. */
const extremum = reduction((ops, x, y, dy, axes) => {
  const hits = ops.indicator('Equal', x, y);
  return ops.mul(hits, ops.div(dy, ops.sum(hits, axes, true)));
});

export const reductionRules: Readonly<Record<string, Rule>> = {
  /** Σ|x| */
  ReduceL1: reduction((ops, x, _, dy) => ops.mul(dy, ops.unary('Sign', x))),
  /** y = √Σx²: dx = dy·x/y, 0 where y = 0 */
  ReduceL2: reduction((ops, x, y, dy) => {
    const isZero = ops.compare('Equal', y, ops.scalar(0));
    return ops.mul(x, ops.div(ops.where(isZero, ops.scalar(0), dy), ops.where(isZero, ops.scalar(1), y)));
  }),
  /** y = log Σx: dx = dy / eʸ */
  ReduceLogSum: reduction((ops, _, y, dy) => ops.div(dy, ops.unary('Exp', y))),
  /** y = log Σeˣ: dx = dy·eˣ⁻ʸ */
  ReduceLogSumExp: reduction((ops, x, y, dy) => ops.mul(dy, ops.unary('Exp', ops.sub(x, y)))),
  ReduceMax: extremum,
  ReduceMean: reduction((ops, x, _, dy, axes) => ops.div(dy, reducedCount(ops, x, axes))),
  ReduceMin: extremum,
  ReduceSum: reduction((_, __, ___, dy) => dy),
  ReduceSumSquare: reduction((ops, x, _, dy) => ops.mul(ops.scale(x, 2), dy)),
};
