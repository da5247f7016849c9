// Every operator that can be differentiated, by its name in ONNX's own domain.

import type { Node } from '../../onnx/index.ts';
import type { Rule } from '../rule.ts';
import { activationRules } from './activations.ts';
import { arithmeticRules } from './arithmetic.ts';
import { convolutionRule } from './convolution.ts';
import { gemmRule, matMulRule } from './matrix.ts';
import { maxPoolRule } from './max-pool.ts';
import { shapeRules } from './shape.ts';

const rules: ReadonlyMap<string, Rule> = new Map([
  ...Object.entries(activationRules),
  ...Object.entries(arithmeticRules),
  ...Object.entries(shapeRules),
  ['Conv', convolutionRule],
  ['Gemm', gemmRule],
  ['MatMul', matMulRule],
  ['MaxPool', maxPoolRule],
]);

/** The rule of a node's operator; undefined when there is none. */
export function ruleFor(node: Node): Rule | undefined {
  return node.domain === '' || node.domain === 'ai.onnx' ? rules.get(node.op) : undefined;
}

/** The operators that have a gradient rule, by name. */
export const ruledOperators: readonly string[] = [...rules.keys()].toSorted();
