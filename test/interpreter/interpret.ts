// A float64 interpreter of ONNX graphs: the oracle for gradient rules. Every operator is a plain loop straight from the
// operator specification (opset 21); slow, and meant to be obviously right. It shares the graph type with the product and nothing else.

import type { Dim, Graph } from '../../src/onnx/index.ts';
import { convolutions } from './operators/convolution.ts';
import type { Operator } from './operators/call.ts';
import { elementwise } from './operators/elementwise.ts';
import { indexing } from './operators/indexing.ts';
import { normalization } from './operators/normalization.ts';
import { pooling } from './operators/pooling.ts';
import { products } from './operators/products.ts';
import { reductions } from './operators/reduction.ts';
import { shapes } from './operators/shape.ts';
import { fromTensor, type F64Tensor } from './values.ts';

const operators: Readonly<Record<string, Operator>> = {
  ...elementwise,
  ...products,
  ...convolutions,
  ...pooling,
  ...normalization,
  ...reductions,
  ...shapes,
  ...indexing,
};

/** The names of the operators that can be interpreted. */
export const interpretedOperators: readonly string[] = Object.keys(operators);

/** A graph input's numbers; its element type is the one the graph declares. */
export type Feed = Pick<F64Tensor, 'dims' | 'data'>;

/**
 * Runs a graph in float64 and gives its outputs by name. Feeds name every graph input and fit its declared dimensions; one
 * symbol stands for one size throughout. Throws when a node's operator is unknown, its inputs do not fit, or an output's
 * dimensions are not those that the graph declares.
 */
export function interpret(graph: Graph, feeds: Readonly<Record<string, Feed>>): Record<string, F64Tensor> {
  const values = new Map<string, F64Tensor>();
  const sizes = new Map<string, number>();
  for (const [name, value] of graph.initializers) values.set(name, fromTensor(value));
  for (const { name, dtype, dims } of graph.inputs) {
    const feed = feeds[name];
    if (!feed) throw new Error(`graph ${graph.name}: input ${name} is not fed`);
    if (!fits(dims, feed, sizes))
      throw new Error(`graph ${graph.name}: input ${name} is [${dims.join(', ')}], fed [${feed.dims.join(', ')}]`);
    values.set(name, { dtype, dims: feed.dims, data: feed.data });
  }
  for (const node of graph.nodes) {
    const operator = node.domain === '' ? operators[node.op] : undefined;
    if (!operator) throw new Error(`node ${node.name}: operator ${node.domain}${node.op} is not interpreted`);
    const inputs = node.inputs.map((name) => (name === '' ? undefined : valueOf(values, name)));
    const outputs = operator({ node, inputs, opset: graph.opsets[''] ?? 1 });
    node.outputs.forEach((name, index) => {
      const value = outputs[index];
      if (name === '') return;
      if (!value) throw new Error(`node ${node.name} (${node.op}) gives no output ${index}`);
      values.set(name, value);
    });
  }
  for (const { name, dims } of graph.outputs) {
    const value = valueOf(values, name);
    if (!fits(dims, value, sizes))
      throw new Error(
        `graph ${graph.name}: ${name} is declared [${dims.join(', ')}], computed [${value.dims.join(', ')}]`,
      );
  }
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, valueOf(values, name)]));
}

/** Whether a value has the declared dimensions; a symbol takes the first size it meets, a product such as `4*N` follows from it. */
function fits(declared: readonly Dim[], value: Feed, sizes: Map<string, number>): boolean {
  if (declared.length !== value.dims.length) return false;
  return declared.every((dim, axis) => {
    const size = value.dims[axis]!;
    if (typeof dim === 'number') return dim === size;
    if (!dim.includes('*') && !sizes.has(dim)) sizes.set(dim, size);
    return dim.split('*').reduce((product, factor) => product * (sizes.get(factor) ?? Number(factor)), 1) === size;
  });
}

function valueOf(values: ReadonlyMap<string, F64Tensor>, name: string): F64Tensor {
  const value = values.get(name);
  if (!value) throw new Error(`no value is called ${name}`);
  return value;
}
