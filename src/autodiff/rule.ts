// What a gradient rule is given and what it gives back.

import { EngineError } from '../base/index.ts';
import type { GraphBuilder, Node } from '../onnx/index.ts';
import type { Ops } from './ops.ts';

/** One node seen from its outputs' gradients. A rule adds nodes through `ops` or `builder`. */
export interface RuleContext {
  readonly node: Node;
  readonly builder: GraphBuilder;
  readonly ops: Ops;
  /** The gradient of each output, of the output's shape; undefined where nothing flows back. At least one is there. */
  readonly gradients: readonly (string | undefined)[];
  /** The gradient of the first output. */
  readonly gradient: string;
  /** True when a gradient of this input is wanted. A rule spares the work for the others. */
  readonly needs: (input: number) => boolean;
  /** True when this input is a parameter whose gradient is to be added up over records in float64, where the rule knows how. */
  readonly inDouble: (input: number) => boolean;
  /** The node that makes `value`; undefined for inputs, initializers, and values whose own gradient was asked for. */
  readonly producerOf: (value: string) => Node | undefined;
  /** Adds to the gradient of a value further up, past a node that this rule has taken over. */
  readonly contribute: (value: string, gradient: string) => void;
  /** Ends with EngineError `no-gradient-rule` that names operator and node. */
  readonly refuse: (reason: string) => never;
}

/** Appends the nodes that give the gradient of each input, in order, each of its input's shape; undefined where there is none. */
export type Rule = (context: RuleContext) => readonly (string | undefined)[];

/** The error for a node that cannot be differentiated. */
export function noRule(node: Node, reason: string): EngineError {
  const op = node.domain === '' ? node.op : `${node.domain}.${node.op}`;
  return new EngineError(
    'no-gradient-rule',
    `node ${node.name} (${op}): ${reason}; replace the node by operators that have a gradient rule, or freeze what stands before it`,
  );
}
