// A model file brought into the form that Septum trains: one input `x`, one output `y`, the batch dimension `N`, every constant an
// initializer, each layer with parameters of its own, and layers that behave differently in training in their inference form.

import { ConfigError } from '../base/index.ts';
import { bindDims, extract, type Graph, inferTypes, type Node, rename, upgrade } from '../onnx/index.ts';
import { float32, int64 } from '../tensor/index.ts';

/** A graph in that form and how the file's value names became its own. */
export interface ModelForm {
  readonly graph: Graph;
  readonly names: ReadonlyMap<string, string>;
}

/** Brings a graph as read from a file into form. Throws ConfigError `bad-study` when it does not have the shape of a network, EngineError as `upgrade` does. */
export function modelForm(model: Graph): ModelForm {
  const tidy = ownStatistics(inferenceLayers(ownInitializers(upgrade(model))));
  const [symbol, input, output] = ends(tidy);
  const names = new Map<string, string>();
  for (const [wanted, value] of [
    ['x', input],
    ['y', output],
  ] as const) {
    if (value === wanted) continue;
    names.set(value, wanted);
    const other = freeName(tidy, `${wanted}.inner`);
    if (valueNames(tidy).has(wanted) && !names.has(wanted)) names.set(wanted, other);
  }
  return { graph: constantShapes(bindDims(rename(tidy, names), { [symbol]: 'N' })), names };
}

/** The batch dimension's symbol, the input and the output. */
function ends(graph: Graph): [symbol: string, input: string, output: string] {
  const [input] = graph.inputs;
  const [output] = graph.outputs;
  const inputs = graph.inputs.map(({ name }) => name).join(', ');
  const outputs = graph.outputs.map(({ name }) => name).join(', ');
  const problems: string[] = [];
  if (graph.inputs.length !== 1) problems.push(`it has the inputs ${inputs || '(none)'}; a network has one`);
  if (graph.outputs.length !== 1) problems.push(`it has the outputs ${outputs || '(none)'}; a network has one`);
  if (input && input.dtype !== 'float32') problems.push(`its input ${input.name} is ${input.dtype}; expected float32`);
  const [symbol, ...dims] = input?.dims ?? [];
  if (input && typeof symbol !== 'string')
    problems.push(`its input ${input.name} has a fixed batch of ${symbol}; export it with a dynamic first dimension`);
  if (dims.length === 0 || dims.some((dim) => typeof dim !== 'number'))
    problems.push(`its input is [${input?.dims.join(', ') ?? ''}]; expected the batch and then declared sizes`);
  for (const [name, { dtype }] of graph.initializers) {
    if (dtype === 'float16' || dtype === 'float64')
      problems.push(`its initializer ${name} is ${dtype}; Septum trains float32`);
  }
  const last = graph.nodes.find((node) => node.outputs.includes(output?.name ?? ''));
  if (last && ['Softmax', 'LogSoftmax', 'Sigmoid'].includes(last.op))
    problems.push(`it ends in ${last.op}; export it without, since the losses take logits`);
  if (problems.length > 0 || !input || !output || typeof symbol !== 'string') {
    throw new ConfigError(
      'bad-study',
      problems.map((problem) => `network ${graph.name}: ${problem}`),
    );
  }
  return [symbol, input.name, output.name];
}

/**
 * An Identity of an initializer becomes an initializer with the same values: PyTorch's exporter keeps one tensor, and Identities of it,
 * where parameters happen to be equal, as the biases of fresh layers are.
 */
function ownInitializers(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.filter((node) => {
    const [output = ''] = node.outputs;
    const copied = node.op === 'Identity' && node.domain === '' ? initializers.get(node.inputs[0] ?? '') : undefined;
    if (!copied || graph.outputs.some(({ name }) => name === output)) return true;
    initializers.set(output, copied);
    return false;
  });
  return { ...graph, initializers, nodes };
}

/** Dropout without `training_mode` and with its ratio as an initializer (ONNX's default is 0.5); batch normalisation with its one output. */
function inferenceLayers(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.map((node): Node => {
    if (node.domain !== '') return node;
    if (node.op === 'Dropout') {
      const [data = '', ratio = ''] = node.inputs;
      if (ratio !== '') return { ...node, inputs: [data, ratio] };
      const name = freeName({ ...graph, initializers }, `${node.outputs[0]}.ratio`);
      initializers.set(name, float32([0.5], []));
      return { ...node, inputs: [data, name] };
    }
    if (node.op === 'BatchNormalization') {
      const attributes = Object.fromEntries(
        Object.entries(node.attributes).filter(([name]) => name !== 'training_mode'),
      );
      return { ...node, outputs: node.outputs.slice(0, 1), attributes };
    }
    return node;
  });
  return { ...graph, initializers, nodes };
}

/** Each batch normalisation has running statistics of its own, also where the file kept equal ones once. */
function ownStatistics(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const taken = new Set<string>();
  const own = (name: string): string => {
    const value = initializers.get(name);
    if (!value || !taken.has(name)) {
      taken.add(name);
      return name;
    }
    const copy = freeName({ ...graph, initializers }, `${name}.copy`);
    initializers.set(copy, value);
    return copy;
  };
  const nodes = graph.nodes.map((node) =>
    node.op === 'BatchNormalization'
      ? { ...node, inputs: node.inputs.map((name, index) => (index > 2 ? own(name) : name)) }
      : node,
  );
  return { ...graph, initializers, nodes };
}

/**
 * Reshapes to a shape that is known but for the batch get it as a constant, and nodes that nothing reads any more are left out. Otherwise
 * an exported `view(x.size(0), -1)` ties its layer to the input, and the network cannot be cut in between.
 */
function constantShapes(graph: Graph): Graph {
  const types = inferTypes(graph);
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.map((node) => {
    const dims = types.get(node.outputs[0] ?? '')?.dims ?? [];
    const known =
      node.op === 'Reshape' && node.domain === '' && dims.filter((dim) => typeof dim === 'string').length <= 1;
    const [data = '', shape = ''] = node.inputs;
    if (!known || initializers.has(shape) || dims.includes(0)) return node;
    const name = freeName({ ...graph, initializers }, `${node.outputs[0]}.shape`);
    initializers.set(name, int64(dims.map((dim) => (typeof dim === 'string' ? -1 : dim))));
    return { ...node, inputs: [data, name] };
  });
  return extract({ ...graph, initializers, nodes }, { inputs: ['x'], outputs: ['y'] });
}

function valueNames(graph: Graph): Set<string> {
  return new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap((node) => node.outputs),
  ]);
}

function freeName(graph: Graph, stem: string): string {
  const names = valueNames(graph);
  let name = stem;
  for (let count = 2; names.has(name); count++) name = `${stem}${count}`;
  return name;
}
