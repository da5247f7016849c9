// Gradients of activations, each applied to every element. Where a function has a corner the gradient is PyTorch's.

import { floatAttribute } from '../../onnx/index.ts';
import type { Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';

/** 1 where x > 0, else 0. */
function positive(ops: Ops, x: string): string {
  return ops.indicator('Greater', x, ops.scalar(0));
}

/** y = max(x, 0): dx = dy where y > 0, else 0 (0 at x = 0). */
const relu: Rule = ({ node, ops, gradient }) => {
  const y = node.outputs[0]!;
  const output = ops.mul(gradient, positive(ops, y));
  ops.builder.hint({ op: 'ReluGradient', inputs: [y, gradient], output, attributes: {} });
  return [output];
};

/** y = x for x > 0, else α·x: dx = dy or α·dy (α at x = 0). */
const leakyRelu: Rule = ({ node, ops, gradient }) => {
  const above = ops.compare('Greater', node.inputs[0]!, ops.scalar(0));
  return [ops.where(above, gradient, ops.scale(gradient, floatAttribute(node, 'alpha', 0.01)))];
};

/** y = x for x > 0, else s·x with s broadcast to x: dx = dy or s·dy (s at x = 0), ds = Σ dy·x where x ≤ 0. */
const pRelu: Rule = ({ node, ops, gradient, needs }) => {
  const [x, slope] = node.inputs as [string, string];
  const above = ops.compare('Greater', x, ops.scalar(0));
  return [
    needs(0) ? ops.mul(gradient, ops.where(above, ops.scalar(1), slope)) : undefined,
    needs(1) ? ops.reduceTo(ops.mul(gradient, ops.min(x, ops.scalar(0))), slope) : undefined,
  ];
};

/** y = x for x > 0, else α·(eˣ - 1): dx = dy or dy·α·eˣ. The exponent is cut at 0 so that it cannot overflow where it is not used. */
const elu: Rule = ({ node, ops, gradient }) => {
  const x = node.inputs[0]!;
  const exponential = ops.unary('Exp', ops.min(x, ops.scalar(0)));
  const slope = ops.scale(exponential, floatAttribute(node, 'alpha', 1));
  return [ops.mul(gradient, ops.where(ops.compare('Greater', x, ops.scalar(0)), ops.scalar(1), slope))];
};

/** y = 1 / (1 + e⁻ˣ): dx = dy·y·(1 - y) */
const sigmoid: Rule = ({ node, ops, gradient }) => {
  const y = node.outputs[0]!;
  return [ops.mul(gradient, ops.mul(y, ops.sub(ops.scalar(1), y)))];
};

/** y = tanh x: dx = dy·(1 - y²) */
const tanh: Rule = ({ node, ops, gradient }) => [
  ops.mul(gradient, ops.sub(ops.scalar(1), ops.square(node.outputs[0]!))),
];

/** y = log(1 + eˣ): dx = dy·σ(x) */
const softplus: Rule = ({ node, ops, gradient }) => [ops.mul(gradient, ops.unary('Sigmoid', node.inputs[0]!))];

/** y = min(max(x, low), high), each bound may be missing: dx = dy where low ≤ x ≤ high; a bound gets dy where x is beyond it. */
const clip: Rule = ({ node, ops, gradient, needs }) => {
  const [x, low, high] = node.inputs as [string, string?, string?];
  const bounds = [
    { bound: low, inside: 'GreaterOrEqual', outside: 'Less' },
    { bound: high, inside: 'LessOrEqual', outside: 'Greater' },
  ] as const;
  let dx = gradient;
  for (const { bound, inside } of bounds) {
    if (bound !== undefined && bound !== '') dx = ops.mul(dx, ops.indicator(inside, x, bound));
  }
  const bySide = bounds.map(({ bound, outside }, index) =>
    bound !== undefined && bound !== '' && needs(index + 1)
      ? ops.reduceTo(ops.mul(gradient, ops.indicator(outside, x, bound)), bound)
      : undefined,
  );
  return [needs(0) ? dx : undefined, ...bySide];
};

/** y = min(max(α·x + β, 0), 1): dx = α·dy where 0 < y < 1. */
const hardSigmoid: Rule = ({ node, ops, gradient }) => {
  const y = node.outputs[0]!;
  const alpha = floatAttribute(node, 'alpha', 0.2);
  const between = ops.both(ops.compare('Greater', y, ops.scalar(0)), ops.compare('Less', y, ops.scalar(1)));
  return [ops.mul(gradient, ops.scale(ops.cast(between, 'float32'), alpha))];
};

/**
 * y = x·min(max(x/6 + ½, 0), 1): dx = 0 for x < -3, dy·(x/3 + ½) for -3 ≤ x ≤ 3, dy for x > 3. At x = 3 PyTorch's own loops
 * differ: this is its plain one, its vectorised one gives dy.
 */
const hardSwish: Rule = ({ node, ops, gradient }) => {
  const x = node.inputs[0]!;
  const above = ops.compare('Greater', x, ops.scalar(3));
  const below = ops.compare('Less', x, ops.scalar(-3));
  const middle = ops.plus(ops.scale(x, 1 / 3), 0.5);
  const slope = ops.where(above, ops.scalar(1), ops.where(below, ops.scalar(0), middle));
  return [ops.mul(gradient, slope)];
};

export const activationRules: Readonly<Record<string, Rule>> = {
  Clip: clip,
  Elu: elu,
  HardSigmoid: hardSigmoid,
  HardSwish: hardSwish,
  LeakyRelu: leakyRelu,
  PRelu: pRelu,
  Relu: relu,
  Sigmoid: sigmoid,
  Softplus: softplus,
  Tanh: tanh,
};
