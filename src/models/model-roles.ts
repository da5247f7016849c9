// What the float initializers of a model file are for. ONNX does not say which were trained, so their place in the operators does:
// a convolution's kernel is a parameter, an upper bound of Clip is not, and a batch normalisation's mean moves with the data.

import type { Graph, Node } from '../onnx/index.ts';
import { elementCount } from '../tensor/index.ts';

/** The names of the initializers by role; one in neither set is a constant. `problems` names those whose role cannot be told. */
export interface Roles {
  readonly parameters: ReadonlySet<string>;
  readonly statistics: ReadonlySet<string>;
  readonly problems: readonly string[];
}

/** Inputs that hold weights, by operator. */
const weightInputs: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  BatchNormalization: [1, 2],
  GroupNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  LayerNormalization: [1, 2],
  PRelu: [1],
};

/** A weight may be reshaped on its way to the operator that uses it. */
const passing = new Set(['Identity', 'Reshape', 'Transpose', 'Unsqueeze', 'Squeeze', 'Flatten', 'Expand', 'Cast']);

/** Operators that join values of equal standing: what they join to a learned value is learned (a bias, a scale, a position embedding). */
const joining = new Set(['Add', 'Sub', 'Mul', 'Div', 'Concat', 'Where']);

/** Inputs of these operators other than the first say how, not what: bounds, sizes, ratios. */
const settingInputs = new Set(['Clip', 'Resize', 'Pad', 'Dropout', 'Pow', 'Slice', 'Tile', 'Min', 'Max']);

/**
 * The roles of a graph's float32 initializers. A scalar that is joined to a value (the 0.5 in a spelled-out Gelu) is a constant, and so
 * is whatever is joined to the input before any weight (its mean and deviation).
 */
export function rolesOf(graph: Graph): Roles {
  const parameters = new Set<string>();
  const statistics = new Set<string>();
  const problems: string[] = [];
  /** Value → the initializer that it is, or is a reshaping of. */
  const origins = new Map<string, string>();
  for (const [name, { dtype }] of graph.initializers) if (dtype === 'float32') origins.set(name, name);
  /** Values that are computed from the graph's inputs, and those of them that a weight took part in. */
  const moving = new Set(graph.inputs.map(({ name }) => name));
  const learned = new Set<string>();
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node.op] as const)));

  const isScalar = (name: string) => elementCount(graph.initializers.get(name)?.dims ?? []) === 1;
  const isBiasOfOne = (node: Node, name: string) =>
    node.op === 'Add' &&
    graph.initializers.get(name)?.dims.length !== 0 &&
    node.inputs.some((input) => ['MatMul', 'Conv', 'ConvTranspose'].includes(producers.get(input) ?? ''));

  for (const node of graph.nodes) {
    const first = origins.get(node.inputs[0] ?? '');
    if (passing.has(node.op) && first !== undefined) {
      for (const output of node.outputs) origins.set(output, first);
      continue;
    }
    const moves = node.inputs.some((input) => moving.has(input));
    let learns = node.inputs.some((input) => learned.has(input));
    node.inputs.forEach((input, index) => {
      const name = origins.get(input);
      if (name === undefined) {
        if (input !== '' && !moving.has(input) && weightInputs[node.op]?.includes(index) === true)
          problems.push(
            `node ${node.name} (${node.op}) computes its weight ${input} from constants: fold constants when exporting`,
          );
        return;
      }
      if (weightInputs[node.op]?.includes(index) === true) {
        parameters.add(name);
        learns = true;
      } else if (node.op === 'BatchNormalization' && index > 2) {
        statistics.add(name);
      } else if (joining.has(node.op)) {
        if (learns && (!isScalar(name) || isBiasOfOne(node, name))) parameters.add(name);
      } else if (!(settingInputs.has(node.op) && index > 0) && !isScalar(name)) {
        problems.push(
          `node ${node.name} (${node.op}) reads the float initializer ${name}: whether to train it is not known for this operator`,
        );
      }
    });
    for (const output of node.outputs) {
      if (moves) moving.add(output);
      if (learns) learned.add(output);
    }
  }
  return { parameters, statistics, problems };
}
