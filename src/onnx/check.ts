// Checks on a whole graph: that it is one, that it holds only operators that a site allows, and how much memory it can take.

import { EngineError } from '../base/index.ts';
import { bytesPerElement } from '../tensor/index.ts';
import type { GraphBuilder, ValueType } from './builder.ts';
import { builderOf } from './edit.ts';
import type { Dim, Graph, Node } from './graph.ts';
import { formatDims, productOfDims, sameDims } from './infer/dims.ts';
import { checkStructure } from './structure.ts';

/** The type of every value: inputs, initializers and what nodes produce. Throws EngineError `bad-graph`, `unsupported-operator`. */
export function inferTypes(graph: Graph): Map<string, ValueType> {
  return typesIn(builderOf(graph), graph);
}

function typesIn(builder: GraphBuilder, graph: Graph): Map<string, ValueType> {
  const names = [
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== ''),
  ];
  return new Map(names.map((name) => [name, builder.typeOf(name)]));
}

/**
 * Checks names, order, operator sets, every node against its operator, and the declared outputs against the inferred ones.
 * Throws EngineError `bad-graph` or `unsupported-operator` on the first thing that is wrong.
 */
export function validate(graph: Graph): void {
  checkStructure(graph, (message) => new EngineError('bad-graph', `graph ${graph.name}: ${message}`));
  const types = inferTypes(graph);
  for (const output of graph.outputs) {
    const type = types.get(output.name);
    if (type?.dtype !== output.dtype || !sameDims(type.dims, output.dims))
      throw new EngineError(
        'bad-graph',
        `graph ${graph.name}: output "${output.name}" is declared ${output.dtype} ${formatDims(output.dims)}, ` +
          `but its node gives ${type?.dtype} ${formatDims(type?.dims ?? [])}`,
      );
  }
}

/** An operator as an allow-list names it: `Conv`, or with its domain `com.microsoft.Gelu`. */
export function operatorName(node: Node): string {
  return node.domain === '' ? node.op : `${node.domain}.${node.op}`;
}

/** What a graph from elsewhere may be. */
export interface Allowance {
  /** Operators as `operatorName` writes them. */
  readonly operators: ReadonlySet<string>;
  /** On `memoryBound`, in bytes. */
  readonly bytesMax: number;
  /** What the symbolic dimensions can be at most, by name: `{ N: 96 }`. */
  readonly symbols: Readonly<Record<string, number>>;
}

/** Throws EngineError `unsupported-operator` for an operator that is not allowed. */
export function checkOperators(graph: Graph, { operators }: Pick<Allowance, 'operators'>): void {
  for (const node of graph.nodes) {
    if (!operators.has(operatorName(node)))
      throw new EngineError(
        'unsupported-operator',
        `graph ${graph.name}: node ${node.name} is ${operatorName(node)}, which is not among the allowed operators`,
      );
  }
}

/** Throws EngineError `unsupported-operator` for an operator that is not allowed, `bad-graph` for a graph that is wrong or could take too much memory. */
export function checkAllowed(graph: Graph, allowed: Allowance): void {
  checkOperators(graph, allowed);
  validate(graph);
  const bytes = memoryBound(graph, allowed.symbols);
  if (bytes > allowed.bytesMax)
    throw new EngineError(
      'bad-graph',
      `graph ${graph.name}: running it could take ${bytes} bytes; at most ${allowed.bytesMax} are allowed`,
    );
}

/** A dimension as a number, given what its symbols stand for. Throws EngineError `bad-graph` for a symbol that is not given. */
export function sizeOf(dim: Dim, symbols: Readonly<Record<string, number>>): number {
  if (typeof dim === 'number') return dim;
  let size = 1;
  for (const factor of dim.split('*')) {
    const value = Object.hasOwn(symbols, factor) ? (symbols[factor] ?? NaN) : Number(factor);
    if (Number.isNaN(value)) throw new EngineError('bad-graph', `the size of the dimension "${dim}" is not known`);
    size *= value;
  }
  return size;
}

/** Bytes of a value of this type. */
export function bytesOfType(type: ValueType, symbols: Readonly<Record<string, number>>): number {
  return sizeOf(productOfDims(type.dims), symbols) * bytesPerElement(type.dtype);
}

/**
 * The most bytes that values take at any one time in a run: inputs and initializers throughout, every other value from its node
 * to its last reader, outputs to the end. What a kernel uses for itself comes on top.
 */
export function memoryBound(graph: Graph, symbols: Readonly<Record<string, number>>): number {
  const types = inferTypes(graph);
  const bytes = (name: string): number => {
    const type = types.get(name);
    return type ? bytesOfType(type, symbols) : 0;
  };
  const lastReader = new Map<string, number>();
  graph.nodes.forEach((node, index) => node.inputs.forEach((input) => lastReader.set(input, index)));
  const kept = new Set(
    [...graph.inputs, ...graph.outputs].map(({ name }) => name).concat([...graph.initializers.keys()]),
  );
  let live = 0;
  for (const { name } of graph.inputs) live += bytes(name);
  for (const name of graph.initializers.keys()) live += bytes(name);
  let most = live;
  graph.nodes.forEach((node, index) => {
    for (const output of node.outputs) live += bytes(output);
    most = Math.max(most, live);
    for (const value of new Set([...node.inputs, ...node.outputs]))
      if (!kept.has(value) && (lastReader.get(value) ?? index) === index) live -= bytes(value);
  });
  return most;
}
