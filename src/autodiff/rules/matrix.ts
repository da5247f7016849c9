// Gradients of matrix products: Gemm (ONNX 13) and MatMul (ONNX 13).

import { floatAttribute, intAttribute } from '../../onnx/index.ts';
import type { Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { fewWeights } from './records.ts';

/**
 * Y = α·A'·B' + β·C with A' = A or Aᵀ, B' = B or Bᵀ:
 * dA' = α·dY·B'ᵀ, dB' = α·A'ᵀ·dY, dC = β·dY summed over what C's broadcasting repeated.
 */
export const gemmRule: Rule = ({ node, ops, gradient, needs, inDouble }) => {
  const [a, b, c] = node.inputs as [string, string, string?];
  const alpha = floatAttribute(node, 'alpha', 1);
  const transA = intAttribute(node, 'transA', 0) === 1;
  const transB = intAttribute(node, 'transB', 0) === 1;
  const gradientA = (): string =>
    transA
      ? ops.gemm(b, gradient, { transA: transB, transB: true, alpha })
      : ops.gemm(gradient, b, { transB: !transB, alpha });
  const gradientB = (): string => {
    const dtype = inDouble(1) && fewWeights(ops.dims(b)) ? 'float64' : 'float32';
    const [left, dy] = [ops.cast(a, dtype), ops.cast(gradient, dtype)];
    return transB
      ? ops.gemm(dy, left, { transA: true, transB: transA, alpha })
      : ops.gemm(left, dy, { transA: !transA, alpha });
  };
  return [
    needs(0) ? gradientA() : undefined,
    needs(1) ? gradientB() : undefined,
    c !== undefined && needs(2)
      ? ops.reduceTo(ops.scale(gradient, floatAttribute(node, 'beta', 1)), c, inDouble(2))
      : undefined,
  ];
};

/** A as a matrix at least: a vector on the left is a row, on the right a column, as in numpy.matmul. */
function promoted(ops: Ops, value: string, axis: 0 | 1): string {
  return ops.rank(value) === 1 ? ops.unsqueeze(value, [axis]) : value;
}

/**
 * Y = A·B over the last two axes, the others broadcast: dA = dY·Bᵀ, dB = Aᵀ·dY, each summed over what broadcasting repeated.
 * Where B is one matrix for a whole batch, dB is one product of flattened matrices.
 */
export const matMulRule: Rule = ({ node, ops, gradient, needs, inDouble }) => {
  const [inputA, inputB] = node.inputs as [string, string];
  const a = promoted(ops, inputA, 0);
  const b = promoted(ops, inputB, 1);
  let g = gradient;
  if (ops.rank(inputB) === 1) g = ops.unsqueeze(g, [-1]);
  if (ops.rank(inputA) === 1) g = ops.unsqueeze(g, [-2]);
  const gradientA = (): string => ops.reshapeLike(ops.reduceTo(ops.matmul(g, ops.transposeLast(b)), a), inputA);
  const gradientB = (): string => {
    const k = ops.dims(b).at(-2);
    const n = ops.dims(b).at(-1);
    if (ops.rank(b) === 2 && ops.rank(a) >= 2 && typeof k === 'number' && typeof n === 'number') {
      const dtype = inDouble(1) && fewWeights([k, n]) ? 'float64' : 'float32';
      const [left, dy] = [ops.cast(ops.reshape(a, [-1, k]), dtype), ops.cast(ops.reshape(g, [-1, n]), dtype)];
      const product = ops.gemm(left, dy, { transA: true });
      return ops.reshapeLike(product, inputB);
    }
    return ops.reshapeLike(ops.reduceTo(ops.matmul(ops.transposeLast(a), g), b), inputB);
  };
  return [needs(0) ? gradientA() : undefined, needs(1) ? gradientB() : undefined];
};
