// Rewrites a graph for ONNX Runtime's CPU kernels on blocked images: convolutions and what lies between them stay in blocks, a pool
// after a convolution becomes a convolution for each place in its window, and a weight's gradient becomes one convolution.

import { type Graph, intAttribute, type Node, type ValueType, withoutCopiedOutputs } from '../onnx/index.ts';
import { analyse, type Analysis } from './analysis.ts';
import { type BlockedConv, takingOfBlocks } from './blocked-conv.ts';
import { Blocks } from './blocks.ts';
import { addConv } from './convolution.ts';
import { addPhasedPool, addPhasedPoolGradient, addPool, type PhasedGradient, type Phases } from './pool.ts';
import { addRecordGradients } from './record-gradients.ts';
import { addWeightGradient } from './weight-gradient.ts';

/** A lowered graph: same inputs and outputs, same values up to rounding. */
export interface Lowered {
  readonly graph: Graph;
  /** The graph takes a batch of N records only where this divides N; 1 when any will do. */
  readonly recordsMultiple: number;
  /** The types of its values. */
  readonly typeOf: (value: string) => ValueType;
}

/** The graph in blocks of `block` channels; undefined when it has no convolution that the blocked kernels can do. */
export function lowerToBlocks(graph: Graph, block: number): Lowered | undefined {
  const lean = withoutCopiedOutputs(graph);
  const analysis = analyse(lean, takingOfBlocks(block));
  if (analysis.inLayout.size === 0) return undefined;
  return new Lowering(lean, analysis, block).run();
}

class Lowering {
  readonly #graph: Graph;
  readonly #analysis: Analysis<BlockedConv>;
  readonly #blocks: Blocks;
  readonly #phases = new Map<string, Phases>();
  /** By the output of a pool's gradient. */
  readonly #phasedGradients = new Map<string, PhasedGradient>();

  constructor(graph: Graph, analysis: Analysis<BlockedConv>, block: number) {
    this.#graph = graph;
    this.#analysis = analysis;
    this.#blocks = new Blocks(graph, analysis.types, block);
  }

  run(): Lowered {
    const { hints, live } = this.#analysis;
    let recordsMultiple = 1;
    for (const node of this.#graph.nodes) {
      const plainOutputs: string[] = [];
      for (const output of node.outputs.filter((name) => live.has(name))) {
        const hint = hints.get(output);
        if (hint?.op === 'ConvWeightGradient') {
          addWeightGradient(this.#blocks, hint);
          if (typeof this.#blocks.dims(hint.inputs[0] ?? '')[0] === 'string') recordsMultiple = this.#blocks.block;
        } else if (hint?.op === 'ConvRecordGradients') {
          addRecordGradients(this.#blocks, hint, this.#phasedGradients.get(hint.inputs[1] ?? '') as PhasedGradient);
        } else if (hint) {
          const phases = this.#phases.get(hint.inputs[1] ?? '') as Phases;
          this.#phasedGradients.set(output, addPhasedPoolGradient(this.#blocks, phases, hint));
        } else if (!this.#inBlocks(node, output)) {
          plainOutputs.push(output);
        }
      }
      if (plainOutputs.length > 0) this.#asItWas(node);
    }
    for (const { name } of this.#graph.outputs) this.#blocks.builder.output(this.#blocks.plain(name));
    const { builder } = this.#blocks;
    const graph = builder.build({ prune: true, metadata: this.#graph.metadata });
    return { graph, recordsMultiple, typeOf: (value) => builder.typeOf(value) };
  }

  /** Adds the node in blocks when that is its place; returns whether it did, or had nothing to do. */
  #inBlocks(node: Node, output: string): boolean {
    const { inLayout, convs, fused, pools } = this.#analysis;
    if (this.#isInPool(node)) return true;
    if (!inLayout.has(output)) return this.#asSum(node, output);
    const conv = convs.get(node);
    const pool = pools.get(output);
    if (pool && conv) return true; // Computed where its pool is.
    if (pool) this.#phases.set(output, addPhasedPool(this.#blocks, pool));
    else if (conv) addConv(this.#blocks, conv, fused.get(output));
    else if (node.op === 'Relu' && fused.get(node.inputs[0] ?? '') === output) return true;
    else if (node.op === 'MaxPool' || node.op === 'AveragePool') addPool(this.#blocks, node);
    else this.#elementwise(node, output);
    return true;
  }

  /** The Relu between a convolution and its phased pool. */
  #isInPool(node: Node): boolean {
    const [input = ''] = node.inputs;
    return node.op === 'Relu' && this.#analysis.pools.get(input)?.conv.node.outputs[0] === input;
  }

  #elementwise(node: Node, output: string): void {
    const inputs = node.inputs.map((input) => {
      if (input === '') return '';
      const single = this.#blocks.dims(input).every((dim) => dim === 1);
      return single ? this.#blocks.plain(input) : this.#blocks.blocked(input);
    });
    this.#blocks.haveBlocked(output, this.#blocks.builder.add(node.op, inputs, node.attributes));
  }

  /** A sum over space, or over records and space, of a value in blocks: a bias's gradient, or each record's share of it. */
  #asSum(node: Node, output: string): boolean {
    const [value = ''] = node.inputs;
    if (node.op !== 'ReduceSum' || node.domain !== '' || !this.#analysis.inLayout.has(value)) return false;
    const { builder, block } = this.#blocks;
    const axes = Array.from(this.#graph.initializers.get(node.inputs[1] ?? '')?.data ?? [], Number).join();
    const keeps = intAttribute(node, 'keepdims', 1) !== 0;
    const overRecords = axes === '0,2,3' && !keeps;
    if (!overRecords && !(axes === '2,3' && keeps)) return false;
    const [channels] = this.#blocks.sizes(value);
    const source = this.#phasedGradients.get(value)?.gated ?? this.#blocks.blocked(value);
    const opened = this.#blocks.reshape(source, [0, channels / block, -1, block]);
    const over = builder.integers(overRecords ? [0, 2] : [2]);
    const sum = builder.add('ReduceSum', [opened, over], { keepdims: { kind: 'int', value: 0 } });
    this.#blocks.reshape(sum, overRecords ? [channels] : [0, channels, 1, 1], undefined, output);
    this.#blocks.havePlain(output);
    return true;
  }

  #asItWas(node: Node): void {
    const inputs = node.inputs.map((input) => (input === '' ? '' : this.#blocks.plain(input)));
    this.#blocks.builder.addNode({ ...node, inputs });
    for (const output of node.outputs) if (output !== '') this.#blocks.havePlain(output);
  }
}
