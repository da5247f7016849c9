// Gradients of activations, each applied to every element. Where a function has a corner the gradient is PyTorch's.

import { floatAttribute } from '../../onnx/index.ts';
import type { Rule } from '../rule.ts';

/** y = max(x, 0): dx = dy where y > 0, else 0 (0 at x = 0, as PyTorch). */
const relu: Rule = ({ node, ops, gradient }) => [
  ops.mul(gradient, ops.indicator('Greater', node.outputs[0]!, ops.scalar(0))),
];

/** y = x for x > 0, else α·x: dx = dy or α·dy (α at x = 0, as PyTorch). */
const leakyRelu: Rule = ({ node, ops, gradient }) => {
  const alpha = floatAttribute(node, 'alpha', 0.01);
  const positive = ops.indicator('Greater', node.inputs[0]!, ops.scalar(0));
  return [ops.mul(gradient, ops.plus(ops.scale(positive, 1 - alpha), alpha))];
};

export const activationRules: Readonly<Record<string, Rule>> = {
  Relu: relu,
  LeakyRelu: leakyRelu,
};
