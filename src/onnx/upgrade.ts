// Brings a graph that was read from a file to operator set 21, the one that Septum differentiates and writes: attributes that became
// inputs, and the few operators whose meaning changed. Constant nodes become initializers. Source: ONNX's operator changelog, 11 to 23.

import { EngineError } from '../base/index.ts';
import { float32 } from '../tensor/index.ts';
import { GraphBuilder } from './builder.ts';
import {
  type Attribute,
  type Graph,
  int,
  intAttribute,
  intsAttribute,
  type Node,
  OPSET,
  floatAttribute,
} from './graph.ts';
import { tensorOfConstant } from './infer/constants.ts';

/** What upgrading one node may ask: the builder that the new graph grows in, the node, and the operator set it comes from. */
interface Step {
  readonly builder: GraphBuilder;
  readonly node: Node;
  readonly from: number;
}

/** The node as operator set 21 has it, or undefined when the step has added what replaces it. */
type Rule = (step: Step) => Node | undefined;

function without(node: Node, ...names: readonly string[]): Readonly<Record<string, Attribute>> {
  return Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !names.includes(name)));
}

function refuse(node: Node, why: string): never {
  throw new EngineError(
    'unsupported-operator',
    `node ${node.name} (${node.op}) cannot be brought to operator set ${OPSET}: ${why}`,
  );
}

/** Squeeze, Unsqueeze and the reductions: the attribute `axes` became input 1. */
const axesToInput: Rule = ({ builder, node }) => {
  if (!node.attributes['axes']) return node;
  const axes = builder.integers(intsAttribute(node, 'axes', []));
  return { ...node, inputs: [node.inputs[0] ?? '', axes], attributes: without(node, 'axes') };
};

/** Split: the attribute `split` became input 1 (13), and equal parts need `num_outputs` (18). */
const split: Rule = ({ builder, node }) => {
  if (node.attributes['split']) {
    const sizes = builder.integers(intsAttribute(node, 'split', []));
    return { ...node, inputs: [node.inputs[0] ?? '', sizes], attributes: without(node, 'split') };
  }
  if ((node.inputs[1] ?? '') !== '' || node.attributes['num_outputs']) return node;
  return { ...node, attributes: { ...node.attributes, num_outputs: int(node.outputs.length) } };
};

/** Dropout: the attribute `ratio` became input 1 (12). */
const dropout: Rule = ({ builder, node, from }) => {
  if (from >= 12) return node;
  const ratio = builder.constant(float32([floatAttribute(node, 'ratio', 0.5)], []), 'ratio');
  return { ...node, inputs: [node.inputs[0] ?? '', ratio], attributes: without(node, 'ratio') };
};

/** BatchNormalization: before 14, more than one output meant training. */
const batchNormalization: Rule = ({ node, from }) => {
  if (from < 14 && node.outputs.slice(1).some((output) => output !== ''))
    refuse(node, 'it was exported in training mode; export it in inference mode');
  return { ...node, outputs: from < 14 ? node.outputs.slice(0, 1) : node.outputs };
};

/** Softmax, LogSoftmax: before 13 they worked over all axes from `axis` (default 1) on, flattened to one. */
const softmax: Rule = ({ builder, node, from }) => {
  if (from >= 13) return node;
  const [input = ''] = node.inputs;
  const rank = builder.dimsOf(input).length;
  const axis = intAttribute(node, 'axis', 1);
  if ((axis < 0 ? axis + rank : axis) === rank - 1) return { ...node, attributes: { axis: int(-1) } };
  const flat = builder.add('Flatten', [input], { axis: int(axis) });
  const normalized = builder.add(node.op, [flat], { axis: int(-1) });
  const shape = builder.add('Shape', [input]);
  return { ...node, op: 'Reshape', inputs: [normalized, shape], attributes: {} };
};

/** GroupNormalization: before 21, scale and bias were given for each group; each channel of a group gets its group's. */
const groupNormalization: Rule = ({ builder, node, from }) => {
  if (from >= 21) return node;
  const [input = '', scale = '', bias = ''] = node.inputs;
  const groups = intAttribute(node, 'num_groups', 1);
  const channels = builder.dimsOf(input)[1];
  if (typeof channels !== 'number') refuse(node, 'the number of channels is not fixed');
  const perChannel = (value: string): string => {
    const column = builder.add('Unsqueeze', [value, builder.integers([1])]);
    const wide = builder.add('Expand', [column, builder.integers([groups, channels / groups])]);
    return builder.add('Reshape', [wide, builder.integers([channels])]);
  };
  return { ...node, inputs: [input, perChannel(scale), perChannel(bias)] };
};

/** Resize: before 13, an empty tensor stood for scales or roi that were not given. */
const resize: Rule = ({ builder, node }) => {
  const mode = node.attributes['coordinate_transformation_mode'];
  if (mode?.kind === 'string' && mode.value === 'tf_half_pixel_for_nn') refuse(node, `${mode.value} was removed`);
  const [input = '', roi = '', scales = '', sizes = ''] = node.inputs;
  const given = (name: string): string => (name !== '' && builder.constantOf(name)?.data.length === 0 ? '' : name);
  const inputs = [input, given(roi), given(scales), given(sizes)];
  while (inputs.at(-1) === '') inputs.pop();
  return { ...node, inputs };
};

/** Constant: its tensor becomes an initializer. */
const constant: Rule = ({ builder, node }) => {
  const value = tensorOfConstant(node) ?? refuse(node, 'it holds neither a tensor nor numbers');
  builder.initializer(node.outputs[0] ?? '', value);
  return undefined;
};

const reductions = ['Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSum', 'LogSumExp'];

const rules = new Map<string, Rule>([
  ...reductions.map((kind) => [`Reduce${kind}`, axesToInput] as const),
  ['Squeeze', axesToInput],
  ['Unsqueeze', axesToInput],
  ['Split', split],
  ['Dropout', dropout],
  ['BatchNormalization', batchNormalization],
  ['Softmax', softmax],
  ['LogSoftmax', softmax],
  ['GroupNormalization', groupNormalization],
  ['Resize', resize],
  ['Constant', constant],
]);

/**
 * The graph with operator set 21 of ONNX's own domain, computing the same. Takes operator sets 11 to 23; outputs are declared as inference
 * has them. Throws EngineError `unsupported-operator` that names the node for an operator that Septum does not know or cannot bring
 * along, `bad-graph` for a graph that is wrong.
 */
export function upgrade(graph: Graph): Graph {
  const from = graph.opsets[''] ?? OPSET;
  const builder = new GraphBuilder(graph.name);
  for (const [domain, version] of Object.entries(graph.opsets))
    builder.useOpset(domain, domain === '' ? OPSET : version);
  for (const input of graph.inputs) builder.input(input.name, input.dtype, input.dims);
  for (const [name, value] of graph.initializers) builder.initializer(name, value);
  builder.reserve(graph.nodes.flatMap(({ outputs }) => outputs));
  for (const node of graph.nodes) {
    const rule = node.domain === '' ? rules.get(node.op) : undefined;
    const upgraded = rule ? rule({ builder, node, from }) : node;
    if (upgraded) builder.addNode(upgraded);
  }
  const { nodes, initializers, inputs, opsets } = builder.build();
  const outputs = graph.outputs.map(({ name }) => ({ name, ...builder.typeOf(name) }));
  return { ...graph, nodes, initializers, inputs, outputs, opsets };
}
