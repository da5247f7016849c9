// Gradients of operators that only rearrange a value's shape: the gradient is given the input's shape again.

import type { Rule } from '../rule.ts';

const sameElements: Rule = ({ node, ops, gradient }) => [ops.reshapeLike(gradient, node.inputs[0]!)];

const identity: Rule = ({ gradient }) => [gradient];

export const shapeRules: Readonly<Record<string, Rule>> = {
  Flatten: sameElements,
  Identity: identity,
  Reshape: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
};
