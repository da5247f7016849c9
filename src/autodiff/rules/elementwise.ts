// Gradients of functions applied to each element: dx = dy·f'(x).

import { textAttribute } from '../../onnx/index.ts';
import type { Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';

/** A rule from the derivative as a value of the graph, given x and y. */
function pointwise(derivative: (ops: Ops, x: string, y: string) => string): Rule {
  return ({ node, ops, gradient }) => [ops.mul(gradient, derivative(ops, node.inputs[0]!, node.outputs[0]!))];
}

/** y = √x: dx = dy / (2·y) */
const sqrt: Rule = ({ node, ops, gradient }) => [ops.div(gradient, ops.scale(node.outputs[0]!, 2))];

/** y = log x: dx = dy / x */
const log: Rule = ({ node, ops, gradient }) => [ops.div(gradient, node.inputs[0]!)];

const neg: Rule = ({ ops, gradient }) => [ops.unary('Neg', gradient)];

/** Constant almost everywhere: no gradient. */
const flat: Rule = () => [];

/** 2/√π · exp(-x²) */
function erfDerivative(ops: Ops, x: string): string {
  return ops.scale(ops.unary('Exp', ops.unary('Neg', ops.square(x))), 2 / Math.sqrt(Math.PI));
}

/** y = x·Φ(x) with the normal distribution's Φ: Φ(x) + x·φ(x). */
function geluDerivative(ops: Ops, x: string): string {
  const cumulative = ops.scale(ops.plus(ops.unary('Erf', ops.scale(x, Math.SQRT1_2)), 1), 0.5);
  const density = ops.scale(ops.unary('Exp', ops.scale(ops.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return ops.add(cumulative, ops.mul(x, density));
}

/** y = ½·x·(1 + tanh u), u = √(2/π)·(x + 0.044715·x³): ½·(1 + t) + ½·x·(1 - t²)·√(2/π)·(1 + 3·0.044715·x²) with t = tanh u. */
function tanhGeluDerivative(ops: Ops, x: string): string {
  const root = Math.sqrt(2 / Math.PI);
  const square = ops.square(x);
  const u = ops.scale(ops.mul(x, ops.plus(ops.scale(square, 0.044715), 1)), root);
  const t = ops.unary('Tanh', u);
  const slope = ops.mul(ops.sub(ops.scalar(1), ops.square(t)), ops.plus(ops.scale(square, 3 * 0.044715 * root), root));
  return ops.scale(ops.add(ops.plus(t, 1), ops.mul(x, slope)), 0.5);
}

const gelu: Rule = (context) => {
  const approximate = textAttribute(context.node, 'approximate', 'none') === 'tanh';
  return pointwise(approximate ? tanhGeluDerivative : geluDerivative)(context);
};

export const elementwiseRules: Readonly<Record<string, Rule>> = {
  /** |x|: the sign of x, 0 at 0. */
  Abs: pointwise((ops, x) => ops.unary('Sign', x)),
  Ceil: flat,
  Cos: pointwise((ops, x) => ops.unary('Neg', ops.builder.add('Sin', [x]))),
  Erf: pointwise(erfDerivative),
  Exp: pointwise((_, __, y) => y),
  Floor: flat,
  Gelu: gelu,
  Log: log,
  Neg: neg,
  /** 1/x: -y² */
  Reciprocal: pointwise((ops, _, y) => ops.unary('Neg', ops.square(y))),
  Round: flat,
  Sign: flat,
  Sin: pointwise((ops, x) => ops.builder.add('Cos', [x])),
  Sqrt: sqrt,
};
