// What an operator of the interpreter is given and gives.

import type { Node } from '../../../src/onnx/index.ts';
import type { F64Tensor } from '../values.ts';

/** One node about to be computed: its inputs in order (undefined where left out) and the operator set's version. */
export interface Call {
  readonly node: Node;
  readonly inputs: readonly (F64Tensor | undefined)[];
  readonly opset: number;
}

/** Computes a node's outputs, in order. */
export type Operator = (call: Call) => readonly F64Tensor[];

/** The input at `index`. Throws when the node does not have it. */
export function input(call: Call, index: number): F64Tensor {
  const value = call.inputs[index];
  if (!value) throw new Error(`node ${call.node.name} (${call.node.op}) lacks input ${index}`);
  return value;
}

/** The integers of the input at `index`, or undefined when it is left out. */
export function integersOf(call: Call, index: number): number[] | undefined {
  const value = call.inputs[index];
  return value && Array.from(value.data);
}
