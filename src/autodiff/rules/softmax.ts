// Gradients of Softmax and LogSoftmax (ONNX 13) along one axis.

import { intAttribute } from '../../onnx/index.ts';
import { axisFromFront } from '../ops.ts';
import type { Rule } from '../rule.ts';

/** y = softmax x: dx = y·(dy - Σ dy·y) */
const softmax: Rule = ({ node, ops, gradient }) => {
  const y = node.outputs[0]!;
  const axis = axisFromFront(intAttribute(node, 'axis', -1), ops.rank(y));
  const product = ops.mul(gradient, y);
  return [ops.sub(product, ops.mul(y, ops.sum(product, [axis], true)))];
};

/** y = log softmax x: dx = dy - eʸ·Σ dy */
const logSoftmax: Rule = ({ node, ops, gradient }) => {
  const y = node.outputs[0]!;
  const axis = axisFromFront(intAttribute(node, 'axis', -1), ops.rank(y));
  return [ops.sub(gradient, ops.mul(ops.unary('Exp', y), ops.sum(gradient, [axis], true)))];
};

export const softmaxRules: Readonly<Record<string, Rule>> = {
  LogSoftmax: logSoftmax,
  Softmax: softmax,
};
