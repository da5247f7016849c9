// Every operator that can be differentiated, by its name in ONNX's own domain.

import type { Node } from '../../onnx/index.ts';
import type { Rule } from '../rule.ts';
import { activationRules } from './activations.ts';
import { arithmeticRules } from './arithmetic.ts';
import { averagePoolRule, globalAveragePoolRule, globalMaxPoolRule } from './average-pool.ts';
import { convTransposeRule } from './conv-transpose.ts';
import { convolutionRule } from './convolution.ts';
import { elementwiseRules } from './elementwise.ts';
import { gemmRule, matMulRule } from './matrix.ts';
import { maxPoolRule } from './max-pool.ts';
import { normalizationRules } from './normalization.ts';
import { pieceRules } from './pieces.ts';
import { reductionRules } from './reduction.ts';
import { resizeRule } from './resize.ts';
import { shapeRules } from './shape.ts';
import { softmaxRules } from './softmax.ts';

const rules: ReadonlyMap<string, Rule> = new Map(
  Object.entries({
    ...activationRules,
    ...arithmeticRules,
    ...elementwiseRules,
    ...normalizationRules,
    ...pieceRules,
    ...reductionRules,
    ...shapeRules,
    ...softmaxRules,
    AveragePool: averagePoolRule,
    Conv: convolutionRule,
    ConvTranspose: convTransposeRule,
    Gemm: gemmRule,
    GlobalAveragePool: globalAveragePoolRule,
    GlobalMaxPool: globalMaxPoolRule,
    MatMul: matMulRule,
    MaxPool: maxPoolRule,
    Resize: resizeRule,
  }),
);

/** The rule of a node's operator; undefined when there is none. */
export function ruleFor(node: Node): Rule | undefined {
  return node.domain === '' || node.domain === 'ai.onnx' ? rules.get(node.op) : undefined;
}

/** The operators that have a gradient rule, by name. */
export const ruledOperators: readonly string[] = [...rules.keys()].toSorted();
