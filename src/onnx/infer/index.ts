// Shape and type inference, one operator at a time. Each file beside this one holds a family of operators.

import { EngineError } from '../../base/index.ts';
import type { InferenceScope } from '../builder.ts';
import type { Node } from '../graph.ts';
import type { Dim } from '../graph.ts';
import { Call, type Inference, type Inferred } from './call.ts';
import { constants } from './constants.ts';
import { elementwise } from './elementwise.ts';
import { followedMost } from './follow.ts';
import { indexing } from './indexing.ts';
import { joining } from './joining.ts';
import { linear } from './linear.ts';
import { normalization } from './normalization.ts';
import { reduction } from './reduction.ts';
import { reshaping } from './reshaping.ts';
import { windows } from './windows.ts';

const rules = new Map<string, Inference>(
  [elementwise, linear, windows, normalization, reshaping, joining, indexing, reduction, constants].flatMap((family) =>
    Object.entries(family),
  ),
);

/** The operators of ONNX's own domain whose shapes can be inferred. */
export const inferredOperators: readonly string[] = [...rules.keys()].toSorted();

/**
 * The types of all outputs that a node can have, from those of its inputs; integers that follow from shapes come with their elements.
 * Throws EngineError `bad-graph` when the inputs do not fit the operator, `unsupported-operator` when there is no rule for it.
 */
export function inferNode(node: Node, scope: InferenceScope, opset: number): readonly Inferred[] {
  const rule = node.domain === '' ? rules.get(node.op) : undefined;
  if (!rule) {
    const operator = node.domain === '' ? node.op : `${node.domain}.${node.op}`;
    throw new EngineError(
      'unsupported-operator',
      `node ${node.name} (${operator}): Septum does not know this operator, so not the shape of what it makes; replace the node by operators that it knows, or export the network without it`,
    );
  }
  return rule(new Call(node, scope, opset)).map((output) => bounded(node, output));
}

/** Longest name of a dimension: a product of symbols. */
const dimNameMost = 256;

/** What inference keeps of an output. A small file can ask for elements or names that double at every node. */
function bounded(node: Node, output: Inferred): Inferred {
  const { dtype, dims, elements } = output;
  const tooLong = (dim: Dim): boolean => typeof dim === 'string' && dim.length > dimNameMost;
  if (dims.some(tooLong) || elements?.some(tooLong))
    throw new EngineError(
      'bad-graph',
      `node ${node.name} (${node.op}): a dimension is the product of too many symbols`,
    );
  return elements && elements.length > followedMost ? { dtype, dims } : output;
}
