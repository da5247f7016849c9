// The training form and the inference form of a forward graph. Training needs two things that ONNX Runtime's inference build lacks:
// dropout with masks that the caller gives, and batch normalisation by the batch's own statistics. Both become primitive operators.

import { EngineError } from '../base/index.ts';
import {
  codeOfDType,
  float,
  floatAttribute,
  type Attribute,
  type Dim,
  type Graph,
  GraphBuilder,
  int,
  type Node,
} from '../onnx/index.ts';
import { float32, int64, type Tensor } from '../tensor/index.ts';

/** A mask that the training form takes as an input: bool [N, ...dims], true where an element is kept. */
export interface MaskInput {
  /** `mask:LAYER`. */
  readonly name: string;
  /** The Dropout node's number among the graph's, from 0, in order. */
  readonly layer: number;
  /** The dimensions of one record. */
  readonly dims: readonly number[];
  readonly keepProbability: number;
}

/** A running statistic: the graph's value that holds it, and the output that holds it after the step. */
export interface RunningStatistic {
  readonly input: string;
  readonly output: string;
}

export interface TrainingForm {
  readonly graph: Graph;
  readonly masks: readonly MaskInput[];
  readonly statistics: readonly RunningStatistic[];
}

/**
 * The graph as training runs it; values keep their names.
 *
 * - Dropout becomes y = x·mask / (1 - p) with a new bool input `mask:LAYER` of x's shape; with p = 0 it becomes an Identity.
 * - BatchNormalization uses the batch's mean and population variance and gives its running statistics as outputs, new ones unless the node has them
 *   (ONNX's rule, running·momentum + batch·(1 - momentum)). The running variance moves by the unbiased variance, as PyTorch's
 *   does; ONNX would take the population variance. PyTorch's momentum is 1 - ONNX's.
 *
 * @throws EngineError `bad-graph` when a dropout ratio is not known or a normalised value has a shape that cannot be
 */
export function trainingGraph(graph: Graph): TrainingForm {
  const masks: MaskInput[] = [];
  const statistics: RunningStatistic[] = [];
  let layer = 0;
  const copy = new Copy(graph);
  for (const node of graph.nodes) {
    if (isOperator(node, 'Dropout')) masks.push(...copy.dropout(node, layer++));
    else if (isOperator(node, 'BatchNormalization')) statistics.push(...copy.batchNormalization(node));
    else copy.builder.addNode(node);
  }
  return { graph: copy.finish(statistics.map(({ output }) => output)), masks, statistics };
}

/** The graph as prediction runs it: Dropout does nothing, BatchNormalization uses its running statistics. Values keep their names. */
export function inferenceGraph(graph: Graph): Graph {
  const copy = new Copy(graph);
  for (const node of graph.nodes) {
    if (isOperator(node, 'Dropout')) copy.identity(node);
    else if (isOperator(node, 'BatchNormalization')) copy.builder.addNode(normalizationByRunning(node));
    else copy.builder.addNode(node);
  }
  return copy.finish();
}

function isOperator(node: Node, op: string): boolean {
  return node.op === op && (node.domain === '' || node.domain === 'ai.onnx');
}

/** The node without training mode and the outputs that only training mode has. */
function normalizationByRunning(node: Node): Node {
  const attributes: Record<string, Attribute> = { epsilon: float(floatAttribute(node, 'epsilon', 1e-5)) };
  return { ...node, outputs: node.outputs.slice(0, 1), attributes };
}

/** A builder that holds the graph's inputs and initializers, to which its nodes are added one after the other, some of them rewritten. */
class Copy {
  readonly builder: GraphBuilder;
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.builder = new GraphBuilder(graph.name);
    for (const [domain, version] of Object.entries(graph.opsets)) this.builder.useOpset(domain, version);
    for (const { name, dtype, dims } of graph.inputs) this.builder.input(name, dtype, dims);
    for (const [name, value] of graph.initializers) this.builder.initializer(name, value);
  }

  finish(more: readonly string[] = []): Graph {
    const names = new Set([...this.#graph.outputs.map((output) => output.name), ...more]);
    for (const name of names) this.builder.output(name);
    return this.builder.build({ metadata: this.#graph.metadata });
  }

  identity(node: Node): void {
    const { name, inputs, outputs } = node;
    this.builder.addNode({
      op: 'Identity',
      domain: '',
      name,
      inputs: inputs.slice(0, 1),
      outputs: [outputs[0]!],
      attributes: {},
    });
    this.#refuseOtherOutputs(node);
  }

  dropout(node: Node, layer: number): MaskInput[] {
    const ratio = this.#ratioOf(node);
    if (ratio === 0) {
      this.identity(node);
      return [];
    }
    const x = node.inputs[0]!;
    const y = node.outputs[0]!;
    const [, ...dims] = this.builder.dimsOf(x);
    if (!dims.every((dim) => typeof dim === 'number'))
      throw this.#bad(node, `its records must have a known shape, but are [${dims.join(', ')}]`);
    const name = this.builder.input(`mask:${layer}`, 'bool', this.builder.dimsOf(x));
    const kept = this.#add('Cast', [name], `${y}:mask`, { to: int(codeOfDType('float32')) });
    const factor = this.#constant(`${y}:factor`, float32([1 / (1 - ratio)], []));
    const scaled = this.#add('Mul', [kept, factor], `${y}:scale`);
    this.#add('Mul', [x, scaled], y, {}, node.name);
    this.#refuseOtherOutputs(node);
    return [{ name, layer, dims, keepProbability: 1 - ratio }];
  }

  /** Opset 12 and later give the ratio as an input, older ones as an attribute; 0.5 when neither does. */
  #ratioOf(node: Node): number {
    const input = node.inputs[1] ?? '';
    if (input === '') return floatAttribute(node, 'ratio', 0.5);
    const ratio = this.builder.constantOf(input)?.data[0];
    if (ratio === undefined) throw this.#bad(node, `its ratio "${input}" must be a constant`);
    if (!(Number(ratio) >= 0 && Number(ratio) < 1))
      throw this.#bad(node, `its ratio ${ratio} must be from 0 to below 1`);
    return Number(ratio);
  }

  /**
   * y = scale·(x - mean) / √(variance + ε) + bias with mean and population variance over batch and space, [1, C, 1, …].
   * The number of elements a channel is n = size(x) / C; the unbiased variance is Σ(x - mean)² / max(n - 1, 1).
   */
  batchNormalization(node: Node): RunningStatistic[] {
    const [x, scale, bias, mean, variance] = node.inputs as [string, string, string, string, string];
    const y = node.outputs[0]!;
    const dims = this.builder.dimsOf(x);
    const [channels] = this.builder.dimsOf(scale) as [Dim];
    if (typeof channels !== 'number') throw this.#bad(node, 'its number of channels must be known');
    const momentum = floatAttribute(node, 'momentum', 0.9);
    const axes = dims.map((_, axis) => axis).filter((axis) => axis !== 1);
    const integers = (suffix: string, values: readonly number[]): string =>
      this.#constant(`${y}:${suffix}`, int64(values));
    const number = (suffix: string, value: number): string => this.#constant(`${y}:${suffix}`, float32([value], []));
    const add = (op: string, inputs: readonly string[], suffix: string, attributes = {}): string =>
      this.#add(op, inputs, `${y}:${suffix}`, attributes);

    const overBatch = integers('axes', axes);
    const perChannel = integers('channel', [channels, ...dims.slice(2).map(() => 1)]);
    const flat = integers('flat', [channels]);
    const batchMean = add('ReduceMean', [x, overBatch], 'mean', { keepdims: int(1) });
    const centred = add('Sub', [x, batchMean], 'centred');
    const squares = add('Mul', [centred, centred], 'squares');
    const batchVariance = add('ReduceMean', [squares, overBatch], 'variance', { keepdims: int(1) });
    const epsilon = number('epsilon', floatAttribute(node, 'epsilon', 1e-5));
    const deviation = add('Sqrt', [add('Add', [batchVariance, epsilon], 'variance+')], 'deviation');
    const factor = add('Div', [add('Reshape', [scale, perChannel], 'scale'), deviation], 'factor');
    const scaled = add('Mul', [centred, factor], 'scaled');
    const shift = add('Reshape', [bias, perChannel], 'bias');
    this.#add('Add', [scaled, shift], y, {}, node.name);

    const size = add('Cast', [add('Size', [x], 'size')], 'elements', { to: int(codeOfDType('float32')) });
    const count = add('Div', [size, number('channels', channels)], 'count');
    const one = number('one', 1);
    const degrees = add('Max', [add('Sub', [count, one], 'count-1'), one], 'degrees');
    const unbiased = add('Mul', [batchVariance, add('Div', [count, degrees], 'correction')], 'unbiased');
    const kept = number('kept', momentum);
    const taken = number('taken', 1 - momentum);
    const running = (old: string, batch: string, suffix: string, name?: string): RunningStatistic => {
      const share = add('Mul', [add('Reshape', [batch, flat], `${suffix}:flat`), taken], `${suffix}:share`);
      const rest = add('Mul', [old, kept], `${suffix}:kept`);
      const output = this.#add('Add', [rest, share], (name ?? '') === '' ? `${y}:${suffix}` : name!);
      return { input: old, output };
    };
    return [
      running(mean, batchMean, 'running-mean', node.outputs[1]),
      running(variance, unbiased, 'running-variance', node.outputs[2]),
    ];
  }

  #add(
    op: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
    name?: string,
  ): string {
    this.builder.addNode({ op, domain: '', inputs, outputs: [output], attributes, name: name ?? `${output}#${op}` });
    return output;
  }

  #constant(name: string, value: Tensor): string {
    return this.builder.initializer(name, value);
  }

  #refuseOtherOutputs(node: Node): void {
    const mask = node.outputs[1] ?? '';
    const read = this.#graph.nodes.some(({ inputs }) => inputs.includes(mask));
    if (mask !== '' && (read || this.#graph.outputs.some((output) => output.name === mask)))
      throw this.#bad(node, `its second output "${mask}" must not be used`);
  }

  #bad(node: Node, problem: string): EngineError {
    return new EngineError('bad-graph', `graph ${this.#graph.name}: node ${node.name} (${node.op}): ${problem}`);
  }
}
