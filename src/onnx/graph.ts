// An ONNX graph as plain, immutable data (ONNX IR specification, opset 21 of the default domain unless a file says otherwise).
// Everything that Septum runs is a Graph: built here or read from a file, differentiated, cut, hashed, written, loaded by an engine.

import type { DType, Tensor } from '../tensor/index.ts';

/** A dimension: its size, or the name of a symbolic one. Septum's own graphs have one symbol, the batch dimension `N`. */
export type Dim = number | string;

/** A named graph input or output. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly Dim[];
}

/** A node's attribute, tagged with ONNX's attribute type. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: Tensor }
  /** A body (Scan's): its nodes may read values of the graph around it. */
  | { readonly kind: 'graph'; readonly value: Graph };

/** One operator applied. An input or output that is left out is the empty string, as in ONNX. */
export interface Node {
  readonly op: string;
  /** The operator set's domain; '' is ONNX's own. */
  readonly domain: string;
  /** Unique in the graph. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An operation that ONNX lacks and some engines have: `output` equals `op` of `inputs`, and standard nodes of the graph spell it out. */
export interface Hint {
  /**
   * - `ConvWeightGradient` x [N, in, …], dy [N, out, …] → dw [out, in / group, …kernel] of a Conv with the node's attributes as given here
   * - `ConvRecordGradients` x, dy → each record's share of dw, [N, out, in · …kernel], of an ungrouped Conv
   * - `ReluMaxPoolGradient` z, y = MaxPool(Relu(z)), dy → dz, the first maximum of each window taking all; windows side by side without padding
   * - `ReluGradient` y = Relu(x), dy → dx, which is dy where y > 0, else 0
   */
  readonly op: 'ConvWeightGradient' | 'ConvRecordGradients' | 'ReluMaxPoolGradient' | 'ReluGradient';
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** Nodes in topological order; every value has one producer: an input, an initializer or a node. */
export interface Graph {
  readonly name: string;
  /** Operator set versions by domain; '' is ONNX's own. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  readonly nodes: readonly Node[];
  /** String metadata, written to the file's metadata_props. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What an engine may compute in one operation; never needed, and not written to files. */
  readonly hints?: readonly Hint[];
}

/** Every value that a node reads: its inputs, and what its bodies read of the graph around them. */
export function readsOf(node: Node): readonly string[] {
  const bodies = Object.values(node.attributes).flatMap((attribute) =>
    attribute.kind === 'graph' ? [attribute.value] : [],
  );
  const outer = bodies.flatMap((body) => {
    const own = new Set([...body.inputs.map(({ name }) => name), ...body.initializers.keys()]);
    for (const { outputs } of body.nodes) for (const output of outputs) own.add(output);
    return body.nodes.flatMap(readsOf).filter((name) => !own.has(name));
  });
  return bodies.length === 0 ? node.inputs : [...node.inputs, ...outer];
}

/** The version of ONNX's operator set that Septum writes. */
export const OPSET = 21;

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
/** ONNX keeps float attributes as float32, so this rounds. */
export const float = (value: number): Attribute => ({ kind: 'float', value: Math.fround(value) });
export const text = (value: string): Attribute => ({ kind: 'string', value });

/** The attribute's integer, or `fallback` when the node does not have it. */
export function intAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'int' ? attribute.value : fallback;
}

/** The attribute's integers, or `fallback` when the node does not have it. */
export function intsAttribute(node: Node, name: string, fallback: readonly number[]): readonly number[] {
  const attribute = node.attributes[name];
  return attribute?.kind === 'ints' ? attribute.value : fallback;
}

/** The attribute's float, or `fallback` when the node does not have it. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes[name];
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

/** The attribute's string, or `fallback` when the node does not have it. */
export function textAttribute(node: Node, name: string, fallback: string): string {
  const attribute = node.attributes[name];
  return attribute?.kind === 'string' ? attribute.value : fallback;
}
