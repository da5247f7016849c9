// Graphs from graphs: a builder that goes on where a graph ends, renamed values, fixed dimensions, a part cut out, one graph within another.

import { EngineError } from '../base/index.ts';
import { GraphBuilder, type ValueType } from './builder.ts';
import type { Dim, Graph, ValueInfo } from './graph.ts';
import { formatDims, multiplyDims, canonicalDim } from './infer/dims.ts';

/** A builder that holds all of a graph except its outputs' marks, under the same names. Throws EngineError when a node does not fit. */
export function builderOf(graph: Graph, name = graph.name): GraphBuilder {
  const builder = new GraphBuilder(name);
  for (const [domain, version] of Object.entries(graph.opsets)) builder.useOpset(domain, version);
  for (const input of graph.inputs) builder.input(input.name, input.dtype, input.dims);
  for (const [initializer, value] of graph.initializers) builder.initializer(initializer, value);
  for (const node of graph.nodes) builder.addNode(node);
  for (const hint of graph.hints ?? []) builder.hint(hint);
  return builder;
}

function refuse(graph: Graph, message: string): never {
  throw new EngineError('bad-graph', `graph ${graph.name}: ${message}`);
}

/** The graph with values renamed, inputs, initializers and outputs included. Names that are not in `names` stay. Throws EngineError `bad-graph` when two values would share a name. */
export function rename(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  const of = (name: string): string => names.get(name) ?? name;
  const produced = [
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== ''),
  ];
  const taken = new Set<string>();
  for (const name of produced) {
    const renamed = of(name);
    if (renamed === '' || taken.has(renamed))
      refuse(graph, `renaming would give "${renamed}" to two values, or to none`);
    taken.add(renamed);
  }
  const all = new Set(produced);
  for (const name of names.keys()) if (!all.has(name)) refuse(graph, `no value is called "${name}"`);
  const value = (info: ValueInfo): ValueInfo => ({ ...info, name: of(info.name) });
  return {
    ...graph,
    inputs: graph.inputs.map(value),
    outputs: graph.outputs.map(value),
    initializers: new Map([...graph.initializers].map(([name, tensor]) => [of(name), tensor])),
    nodes: graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(of), outputs: node.outputs.map(of) })),
    ...(graph.hints && {
      hints: graph.hints.map((hint) => ({ ...hint, inputs: hint.inputs.map(of), output: of(hint.output) })),
    }),
  };
}

/**
 * The graph without outputs that are copies. `output(value, name)` of a builder puts an Identity before an output of another name; where the
 * value is read elsewhere too, runtimes keep both: each new momentum, say, twice. Here such a value has its output's name and there is no copy.
 */
export function withoutCopiedOutputs(graph: Graph): Graph {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const names = new Map<string, string>();
  const nodes = graph.nodes.filter(({ op, domain, inputs: [source = ''], outputs: [copy = ''] }) => {
    if (op !== 'Identity' || domain !== '' || !outputs.has(copy)) return true;
    if (!made.has(source) || outputs.has(source) || names.has(source)) return true;
    names.set(source, copy);
    return false;
  });
  if (names.size === 0) return graph;
  const copies = new Set(names.values());
  // A hint for a copy would name a value that its source has a hint for.
  const hints = graph.hints?.filter(({ output }) => !copies.has(output));
  // The copy's name is free once its Identity is gone; who read the copy reads the source by it.
  return rename({ ...graph, nodes, ...(hints && { hints }) }, names);
}

/** A dimension with symbols replaced by sizes or other symbols. */
function bound(dim: Dim, symbols: ReadonlyMap<string, Dim>): Dim {
  if (typeof dim === 'number') return dim;
  return dim
    .split('*')
    .reduce<Dim>((product, factor) => multiplyDims(product, symbols.get(factor) ?? canonicalDim(factor)), 1);
}

/** The graph with its symbolic dimensions given sizes or other names: `{ batch_size: 'N', height: 64 }`. Output types follow. Throws EngineError as `builderOf`. */
export function bindDims(graph: Graph, symbols: Readonly<Record<string, Dim>>): Graph {
  const map = new Map(Object.entries(symbols));
  const inputs = graph.inputs.map((input) => ({ ...input, dims: input.dims.map((dim) => bound(dim, map)) }));
  return withInferredOutputs({ ...graph, inputs });
}

/** The graph with its outputs declared as inference has them, whatever a file said. */
export function withInferredOutputs(graph: Graph): Graph {
  const builder = builderOf(graph);
  return { ...graph, outputs: graph.outputs.map(({ name }) => ({ name, ...builder.typeOf(name) })) };
}

/**
 * The part of a graph that computes `outputs` from `inputs`, in the same order and under the same names. `inputs` are any of its values
 * (inputs of the graph included) and stay declared even where nothing reads them; initializers that the part reads come along, except those
 * among `inputs`. An output that is itself an input or initializer comes out of an Identity as `NAME_out`. Throws EngineError `bad-graph` when an output depends on an input of the graph that is not listed.
 */
export function extract(
  graph: Graph,
  part: { readonly inputs: readonly string[]; readonly outputs: readonly string[]; readonly name?: string },
): Graph {
  const types = builderOf(graph);
  const given = new Set(part.inputs);
  const needed = new Set(part.outputs);
  const nodes = graph.nodes.toReversed().filter((node) => {
    if (!node.outputs.some((output) => needed.has(output) && !given.has(output))) return false;
    for (const input of node.inputs) needed.add(input);
    return true;
  });
  const missing = graph.inputs.filter(({ name }) => needed.has(name) && !given.has(name)).map(({ name }) => name);
  if (missing.length > 0)
    refuse(
      graph,
      `${part.outputs.join(', ')} cannot be computed from ${part.inputs.join(', ')}: needs ${missing.join(', ')} too`,
    );
  const result = new GraphBuilder(part.name ?? graph.name);
  for (const [domain, version] of Object.entries(graph.opsets)) result.useOpset(domain, version);
  for (const name of part.inputs) result.input(name, types.typeOf(name).dtype, types.typeOf(name).dims);
  for (const [name, value] of graph.initializers)
    if (needed.has(name) && !given.has(name)) result.initializer(name, value);
  for (const node of nodes.toReversed()) {
    // Another output of a node that is kept may be one of the given inputs: the node's own is then dropped.
    result.addNode({ ...node, outputs: node.outputs.map((output) => (given.has(output) ? '' : output)) });
  }
  for (const hint of graph.hints ?? []) if (!given.has(hint.output)) result.hint(hint);
  for (const name of part.outputs) result.output(name);
  return result.build({ metadata: graph.metadata });
}

/**
 * Adds a whole graph's nodes to a builder. `bindings` says which of the builder's values stand for the graph's inputs, and may do so for
 * initializers too (parameters that are inputs of what is being built); the other initializers are added. Added values and nodes are named
 * `prefix` + name, made unique. Returns the builder's value for each output of the graph.
 * Throws EngineError `bad-graph` when an input is not bound, is bound to a value of another type, or the operator sets differ.
 */
export function inline(
  builder: GraphBuilder,
  graph: Graph,
  bindings: ReadonlyMap<string, string>,
  prefix = '',
): Map<string, string> {
  for (const [domain, version] of Object.entries(graph.opsets)) {
    const own = builder.opsets[domain];
    if (own === undefined) builder.useOpset(domain, version);
    else if (own !== version)
      refuse(graph, `it uses operator set ${version} of the domain "${domain}", but ${own} is being built`);
  }
  const values = new Map<string, string>([['', '']]);
  for (const input of graph.inputs) {
    const value = bindings.get(input.name) ?? refuse(graph, `its input "${input.name}" is not bound`);
    checkBinding(graph, input, builder.typeOf(value));
    values.set(input.name, value);
  }
  for (const [name, value] of graph.initializers) {
    const other = bindings.get(name);
    if (other !== undefined) checkBinding(graph, { name, ...value }, builder.typeOf(other));
    values.set(name, other ?? builder.initializer(builder.fresh(`${prefix}${name}`), value));
  }
  for (const name of bindings.keys()) if (!values.has(name)) refuse(graph, `it has no input or initializer "${name}"`);
  const valueOf = (name: string): string => values.get(name) ?? refuse(graph, `no value is called "${name}"`);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map(valueOf);
    const outputs = node.outputs.map((output) => {
      if (output !== '') values.set(output, builder.fresh(`${prefix}${output}`));
      return values.get(output) ?? '';
    });
    builder.addNode({ ...node, name: builder.fresh(`${prefix}${node.name}`), inputs, outputs });
  }
  for (const hint of graph.hints ?? [])
    builder.hint({ ...hint, inputs: hint.inputs.map(valueOf), output: valueOf(hint.output) });
  return new Map(graph.outputs.map(({ name }) => [name, valueOf(name)]));
}

/** A bound value has the element type, the rank and the fixed sizes of what it stands for. */
function checkBinding(graph: Graph, expected: ValueInfo, got: ValueType): void {
  const fits =
    expected.dtype === got.dtype &&
    expected.dims.length === got.dims.length &&
    expected.dims.every((dim, axis) => typeof dim === 'string' || dim === got.dims[axis]);
  if (!fits)
    refuse(
      graph,
      `its input "${expected.name}" is ${expected.dtype} ${formatDims(expected.dims)}, but is bound to ${got.dtype} ${formatDims(got.dims)}`,
    );
}
