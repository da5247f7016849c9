// Gradients of arithmetic on two values or more with ONNX's broadcasting: each gradient is summed back to its input's shape.

import type { Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';

/** y = a + b + … */
const add: Rule = ({ node, ops, gradient, needs, inDouble }) =>
  node.inputs.map((input, index) => (needs(index) ? ops.reduceTo(gradient, input, inDouble(index)) : undefined));

/** y = (a + b + …) / count */
const mean: Rule = ({ node, ops, gradient, needs }) => {
  const share = ops.scale(gradient, 1 / node.inputs.length);
  return node.inputs.map((input, index) => (needs(index) ? ops.reduceTo(share, input) : undefined));
};

/** y = a - b */
const sub: Rule = ({ node, ops, gradient, needs }) => {
  const [a, b] = node.inputs as [string, string];
  return [
    needs(0) ? ops.reduceTo(gradient, a) : undefined,
    needs(1) ? ops.unary('Neg', ops.reduceTo(gradient, b)) : undefined,
  ];
};

/** y = a·b: da = dy·b, db = dy·a */
const mul: Rule = ({ node, ops, gradient, needs, inDouble }) => {
  const [a, b] = node.inputs as [string, string];
  return [
    needs(0) ? ops.reduceTo(ops.mul(gradient, b), a, inDouble(0)) : undefined,
    needs(1) ? ops.reduceTo(ops.mul(gradient, a), b, inDouble(1)) : undefined,
  ];
};

/** y = a/b: da = dy/b, db = -dy·y/b */
const div: Rule = ({ node, ops, gradient, needs }) => {
  const [a, b] = node.inputs as [string, string];
  const quotient = ops.div(gradient, b);
  return [
    needs(0) ? ops.reduceTo(quotient, a) : undefined,
    needs(1) ? ops.unary('Neg', ops.reduceTo(ops.mul(quotient, node.outputs[0]!), b)) : undefined,
  ];
};

/**
 * y = aᵇ: da = dy·b·aᵇ⁻¹ (0 where b = 0), db = dy·y·log a (0 where a = 0 and b ≥ 0; NaN for a < 0, where y itself is defined only for
 * whole b), as PyTorch.
 */
const pow: Rule = ({ node, ops, gradient, needs }) => {
  const [a, b] = node.inputs as [string, string];
  const gradientA = (): string => {
    const known = ops.builder.constantOf(b);
    if (known?.data.length === 1) return ops.mul(gradient, powerSlope(ops, a, Number(known.data[0])));
    const exponent = ops.cast(b, 'float32');
    const isZero = ops.compare('Equal', exponent, ops.scalar(0));
    const slope = ops.mul(exponent, ops.pow(a, ops.plus(exponent, -1)));
    return ops.mul(gradient, ops.where(isZero, ops.scalar(0), slope));
  };
  const gradientB = (): string => {
    const exponent = ops.cast(b, 'float32');
    const zero = ops.scalar(0);
    const vanishes = ops.both(ops.compare('Equal', a, zero), ops.compare('GreaterOrEqual', exponent, zero));
    const slope = ops.mul(node.outputs[0]!, ops.unary('Log', a));
    return ops.mul(gradient, ops.where(vanishes, zero, slope));
  };
  return [needs(0) ? ops.reduceTo(gradientA(), a) : undefined, needs(1) ? ops.reduceTo(gradientB(), b) : undefined];
};

/** d(aⁿ)/da = n·aⁿ⁻¹ for a known n. */
function powerSlope(ops: Ops, a: string, n: number): string {
  if (n === 0) return ops.scale(a, 0);
  if (n === 1) return ops.scalar(1);
  if (n === 2) return ops.scale(a, 2);
  return ops.scale(ops.pow(a, ops.scalar(n - 1)), n);
}

/** y = max(a, b, …) or min: dy goes to the inputs that equal y, in equal shares where several do (PyTorch's rule for two). */
const extremum: Rule = ({ node, ops, gradient, needs }) => {
  if (node.inputs.length === 1) return [gradient];
  const hits = node.inputs.map((input) => ops.indicator('Equal', input, node.outputs[0]!));
  const share = ops.div(gradient, ops.total(hits));
  return node.inputs.map((input, index) =>
    needs(index) ? ops.reduceTo(ops.mul(share, hits[index]!), input) : undefined,
  );
};

/** y = a where the condition holds, else b. */
const where: Rule = ({ node, ops, gradient, needs }) => {
  const [condition, a, b] = node.inputs as [string, string, string];
  const zero = ops.scalar(0);
  return [
    undefined,
    needs(1) ? ops.reduceTo(ops.where(condition, gradient, zero), a) : undefined,
    needs(2) ? ops.reduceTo(ops.where(condition, zero, gradient), b) : undefined,
  ];
};

export const arithmeticRules: Readonly<Record<string, Rule>> = {
  Add: add,
  Div: div,
  Max: extremum,
  Mean: mean,
  Min: extremum,
  Mul: mul,
  Pow: pow,
  Sub: sub,
  Sum: add,
  Where: where,
};
