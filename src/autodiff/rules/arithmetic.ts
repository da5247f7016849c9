// Gradients of arithmetic on two values or more with ONNX's broadcasting: each gradient is summed back to its input's shape.

import type { Rule } from '../rule.ts';

/** y = a + b */
const add: Rule = ({ node, ops, gradient, needs }) =>
  node.inputs.map((input, index) => (needs(index) ? ops.reduceTo(gradient, input) : undefined));

/** y = a - b */
const sub: Rule = ({ node, ops, gradient, needs }) => {
  const [a, b] = node.inputs as [string, string];
  return [
    needs(0) ? ops.reduceTo(gradient, a) : undefined,
    needs(1) ? ops.unary('Neg', ops.reduceTo(gradient, b)) : undefined,
  ];
};

/** y = a·b: da = dy·b, db = dy·a */
const mul: Rule = ({ node, ops, gradient, needs }) => {
  const [a, b] = node.inputs as [string, string];
  return [
    needs(0) ? ops.reduceTo(ops.mul(gradient, b), a) : undefined,
    needs(1) ? ops.reduceTo(ops.mul(gradient, a), b) : undefined,
  ];
};

export const arithmeticRules: Readonly<Record<string, Rule>> = {
  Add: add,
  Sum: add,
  Sub: sub,
  Mul: mul,
};
