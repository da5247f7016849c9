// What an operator's inference function sees: one node, the types of its inputs, and what is known of their elements.

import { EngineError } from '../../base/index.ts';
import type { DType } from '../../tensor/index.ts';
import type { InferenceScope, ValueType } from '../builder.ts';
import {
  type Dim,
  floatAttribute,
  intAttribute,
  intsAttribute,
  type Node,
  textAttribute,
  type Attribute,
} from '../graph.ts';
import { formatDims } from './dims.ts';

/** The type of an output and, where they follow from constants and shapes, its elements in row-major order. */
export interface Inferred extends ValueType {
  readonly elements?: readonly Dim[];
}

/** One operator's rule: the types of all outputs that the node could have, in order. */
export type Inference = (call: Call) => readonly Inferred[];

export const floatTypes: readonly DType[] = ['float32', 'float64', 'float16'];
export const integerTypes: readonly DType[] = [
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
];
export const numericTypes: readonly DType[] = [...floatTypes, ...integerTypes];

export class Call {
  readonly node: Node;
  readonly scope: InferenceScope;
  /** The version of the node's operator set. */
  readonly opset: number;

  constructor(node: Node, scope: InferenceScope, opset: number) {
    this.node = node;
    this.scope = scope;
    this.opset = opset;
  }

  /** Throws EngineError `bad-graph` that names the node, its operator, what was expected and what was got. */
  fail(expected: string, got: string): never {
    throw new EngineError('bad-graph', `node ${this.node.name} (${this.node.op}): expected ${expected}, got ${got}`);
  }

  /** Whether the node has input `index`. */
  has(index: number): boolean {
    return (this.node.inputs[index] ?? '') !== '';
  }

  nameOf(index: number): string {
    const name = this.node.inputs[index] ?? '';
    if (name === '') this.fail(`an input ${index}`, `${this.node.inputs.length} inputs`);
    return name;
  }

  type(index: number): ValueType {
    return this.scope.typeOf(this.nameOf(index));
  }

  dims(index: number): readonly Dim[] {
    return this.type(index).dims;
  }

  dtype(index: number): DType {
    return this.type(index).dtype;
  }

  /** The type of input `index` after checking its element type. */
  typed(index: number, allowed: readonly DType[]): ValueType {
    const type = this.type(index);
    if (!allowed.includes(type.dtype))
      this.fail(`input ${index} "${this.nameOf(index)}" of ${allowed.join(', ')}`, type.dtype);
    return type;
  }

  /** The dimensions of input `index` after checking how many there are. */
  ranked(index: number, rank: number, atLeast = false): readonly Dim[] {
    const dims = this.dims(index);
    if (atLeast ? dims.length < rank : dims.length !== rank)
      this.fail(
        `input ${index} "${this.nameOf(index)}" of ${atLeast ? 'at least ' : ''}${rank} dimensions`,
        formatDims(dims),
      );
    return dims;
  }

  /** Checks that the inputs of these indices have one element type, and returns it. */
  sameType(...indices: readonly number[]): DType {
    const first = this.dtype(indices[0] ?? 0);
    for (const index of indices) {
      if (this.has(index) && this.dtype(index) !== first)
        this.fail(`input ${index} "${this.nameOf(index)}" of ${first}`, this.dtype(index));
    }
    return first;
  }

  /** A dimension as a number. */
  size(index: number, axis: number): number {
    const dim = this.dims(index)[axis];
    if (typeof dim !== 'number')
      this.fail(`a fixed size in dimension ${axis} of input ${index}`, formatDims(this.dims(index)));
    return dim;
  }

  /** The elements of an input where they are known before the graph runs, possibly in terms of symbols. */
  elements(index: number): readonly Dim[] | undefined {
    return this.has(index) ? this.scope.elementsOf(this.nameOf(index)) : undefined;
  }

  /** The elements of input `index`, which must be known. */
  knownElements(index: number): readonly Dim[] {
    return (
      this.elements(index) ??
      this.fail(`input ${index} "${this.nameOf(index)}" that follows from shapes`, 'a run-time value')
    );
  }

  /** The elements of input `index` as numbers, which must be known and without symbols. */
  knownIntegers(index: number): readonly number[] {
    const elements = this.knownElements(index);
    const numbers = elements.filter((element) => typeof element === 'number');
    if (numbers.length !== elements.length)
      this.fail(`fixed numbers in input ${index} "${this.nameOf(index)}"`, formatDims(elements));
    return numbers;
  }

  /** Integers that are an attribute in older operator sets and an input in newer ones; undefined when neither is given. */
  integers(name: string, index: number): readonly number[] | undefined {
    if (this.node.attributes[name]) return this.ints(name, []);
    return this.has(index) ? this.knownIntegers(index) : undefined;
  }

  /** `axis` counted from the front; negative counts from the back. `rank` itself is allowed with `end`. */
  axis(axis: number, rank: number, end = false): number {
    const from = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(axis) || from < 0 || from >= rank + (end ? 1 : 0))
      this.fail(`an axis from ${-rank} to ${end ? rank : rank - 1}`, String(axis));
    return from;
  }

  int(name: string, fallback: number): number {
    return intAttribute(this.node, name, fallback);
  }

  ints(name: string, fallback: readonly number[]): readonly number[] {
    return intsAttribute(this.node, name, fallback);
  }

  float(name: string, fallback: number): number {
    return floatAttribute(this.node, name, fallback);
  }

  text(name: string, fallback: string): string {
    return textAttribute(this.node, name, fallback);
  }

  attribute(name: string): Attribute | undefined {
    return this.node.attributes[name];
  }
}
