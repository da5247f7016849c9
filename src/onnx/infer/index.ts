import { EngineError } from '../../base/index.ts';
import type { InferenceScope, ValueType } from '../builder.ts';
import type { Node } from '../graph.ts';

/** The types of a node's outputs from those of its inputs. Throws EngineError when they do not fit the operator. */
export function inferNode(node: Node, _scope: InferenceScope, _opset: number): readonly ValueType[] {
  throw new EngineError(
    'unsupported-operator',
    `node ${node.name}: the shape of ${node.domain}${node.op} cannot be inferred`,
  );
}
