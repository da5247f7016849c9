// Shape and type inference, one operator at a time. Each file beside this one holds a family of operators.

import { EngineError } from '../../base/index.ts';
import type { InferenceScope } from '../builder.ts';
import type { Node } from '../graph.ts';
import { Call, type Inference, type Inferred } from './call.ts';
import { constants } from './constants.ts';
import { elementwise } from './elementwise.ts';
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
  return rule(new Call(node, scope, opset));
}
