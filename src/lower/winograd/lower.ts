// Rewrites a graph so that its convolutions of 3 x 3 are computed in the transformed domain, forward and for both gradients, with standard
// operators only. What lies between them stays in rows.

import { analyse, type Analysis, type PhasedPool, type Taking } from '../analysis.ts';
import type { Lowered } from '../lower.ts';
import { type Graph, type Hint, intAttribute, type Node, withoutCopiedOutputs } from '../../onnx/index.ts';
import { addBackward } from './backward.ts';
import { addConv, addPooledConv, type Windows } from './convolution.ts';
import { addGate, havePoolGradient, haveReluGradient } from './gates.ts';
import { RowGraph } from './rows.ts';
import { kernels, takesWeightGradient, winogradConv, type WinogradConv } from './rule.ts';

/** The graph with its convolutions in the transformed domain; undefined when few of its multiplications are in such ones. */
export function lowerToWinograd(graph: Graph): Lowered | undefined {
  const lean = withoutCopiedOutputs(graph);
  const kernelOf = kernels(lean);
  const taking: Taking<WinogradConv> = {
    conv: (node, types) => winogradConv(node, types, kernelOf),
    hint: (hint, types) =>
      hint.op === 'ConvWeightGradient' ? takesWeightGradient(hint, types) : hint.op !== 'ConvRecordGradients',
    phases: () => true,
    fits: () => true,
    pools: false,
  };
  const analysis = analyse(lean, taking);
  return shareTaken(lean, analysis) < shareMin ? undefined : new Lowering(lean, analysis).run();
}

/** Share of a graph's multiplications below which blocks, which this lowering does not have for the others, are the better choice. */
const shareMin = 0.75;

/** The share of the multiplications of all convolutions that is in those taken, counted for direct ones. */
function shareTaken(graph: Graph, { convs, types }: Analysis<WinogradConv>): number {
  let [all, taken] = [0, 0];
  for (const node of graph.nodes) {
    if (node.op !== 'Conv' || node.domain !== '') continue;
    const sizes = [
      ...(types.get(node.inputs[1] ?? '')?.dims ?? []),
      ...(types.get(node.outputs[0] ?? '')?.dims ?? []).slice(2),
    ];
    const work = sizes.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1);
    all += work;
    if (convs.has(node)) taken += work;
  }
  return all === 0 ? 0 : taken / all;
}

class Lowering {
  readonly #graph: Graph;
  readonly #analysis: Analysis<WinogradConv>;
  readonly #rows: RowGraph;
  readonly #windows = new Map<string, Windows>();
  /** Gradient of a convolution's output → its sum over records and pixels. */
  readonly #sums = new Map<string, string>();
  /** Convolution that gives an input's gradient → the weight's gradient that is computed with it, and the reverse. */
  readonly #hintOf = new Map<Node, Hint>();
  readonly #convOf = new Map<Hint, WinogradConv>();
  readonly #done = new Set<Hint>();

  constructor(graph: Graph, analysis: Analysis<WinogradConv>) {
    this.#graph = graph;
    this.#analysis = analysis;
    this.#rows = new RowGraph(graph, analysis.types);
    this.#pairGradients();
  }

  /** Puts the two gradients of a convolution together: they read the same gradient of its output. */
  #pairGradients(): void {
    const { convs, hints, fused, pools } = this.#analysis;
    for (const hint of hints.values()) {
      if (hint.op !== 'ConvWeightGradient') continue;
      const conv = [...convs.values()].find(({ node, x, bias }) => {
        const [output = ''] = node.outputs;
        const alone = bias === undefined && !fused.has(output) && !pools.has(output);
        return x === hint.inputs[1] && alone && !this.#hintOf.has(node) && this.#analysis.live.has(output);
      });
      if (!conv) continue;
      this.#hintOf.set(conv.node, hint);
      this.#convOf.set(hint, conv);
    }
  }

  run(): Lowered {
    const { hints, live } = this.#analysis;
    for (const node of this.#graph.nodes) {
      const plainOutputs: string[] = [];
      for (const output of node.outputs.filter((name) => live.has(name))) {
        const hint = hints.get(output);
        if (hint) this.#hinted(hint);
        else if (!this.#inRows(node, output)) plainOutputs.push(output);
      }
      if (plainOutputs.length > 0) this.#asItWas(node);
    }
    const { builder, recordsMultiple } = this.#rows;
    for (const { name } of this.#graph.outputs) builder.output(this.#rows.plain(name));
    const graph = builder.build({ prune: true, metadata: this.#graph.metadata });
    return { graph, recordsMultiple, typeOf: (value) => builder.typeOf(value) };
  }

  #hinted(hint: Hint): void {
    const [first = '', second = ''] = hint.inputs;
    const { inLayout } = this.#analysis;
    if (hint.op === 'ConvWeightGradient') this.#backward(hint);
    else if (hint.op === 'ReluMaxPoolGradient')
      havePoolGradient(this.#rows, this.#windows.get(second) as Windows, hint);
    else if (inLayout.has(hint.output)) haveReluGradient(this.#rows, hint);
    else {
      addGate(this.#rows.builder, this.#rows.plain(first), this.#rows.plain(second), hint.output);
      this.#rows.havePlain(hint.output);
    }
  }

  /** Adds both gradients of a convolution, once. */
  #backward(hint: Hint): void {
    const [, dy = ''] = hint.inputs;
    if (this.#done.has(hint)) return;
    this.#done.add(hint);
    this.#sums.set(dy, addBackward(this.#rows, hint, this.#convOf.get(hint)));
  }

  /** Adds the node in rows when that is its place; returns whether it did, or had nothing to do. */
  #inRows(node: Node, output: string): boolean {
    const { inLayout, convs, fused, pools } = this.#analysis;
    if (this.#isInPool(node)) return true;
    if (!inLayout.has(output)) return this.#asSum(node, output);
    const conv = convs.get(node);
    const pool: PhasedPool<WinogradConv> | undefined = pools.get(output);
    if (pool && conv) return true; // Computed where its pool is.
    if (pool) this.#windows.set(output, addPooledConv(this.#rows, pool.conv, output));
    else if (conv && this.#hintOf.has(node)) this.#backward(this.#hintOf.get(node) as Hint);
    else if (conv) addConv(this.#rows, conv, fused.get(output));
    else if (node.op === 'Relu' && fused.get(node.inputs[0] ?? '') === output) return true;
    else this.#elementwise(node, output);
    return true;
  }

  /** The Relu between a convolution and its pool. */
  #isInPool(node: Node): boolean {
    const [input = ''] = node.inputs;
    return node.op === 'Relu' && this.#analysis.pools.get(input)?.conv.node.outputs[0] === input;
  }

  #elementwise(node: Node, output: string): void {
    const isSingle = (input: string): boolean => this.#rows.dims(input).every((dim) => dim === 1);
    const first = node.inputs.find((input) => this.#analysis.inLayout.has(input)) as string;
    const { order, chunk } = this.#rows.anyRows(first);
    const inputs = node.inputs.map((input) => {
      if (input === '') return '';
      return isSingle(input) ? this.#rows.plain(input) : this.#rows.rows(input, chunk, order).name;
    });
    this.#rows.haveRows(output, { name: this.#rows.builder.add(node.op, inputs, node.attributes), order, chunk });
  }

  /** A sum over records and pixels of a value in rows: a bias's gradient. */
  #asSum(node: Node, output: string): boolean {
    const [value = ''] = node.inputs;
    if (node.op !== 'ReduceSum' || node.domain !== '' || !this.#analysis.inLayout.has(value)) return false;
    const axes = this.#graph.initializers.get(node.inputs[1] ?? '')?.data;
    if (Array.from(axes ?? [], Number).join() !== '0,2,3' || intAttribute(node, 'keepdims', 1) !== 0) return false;
    const { builder } = this.#rows;
    const [channels] = this.#rows.sizes(value);
    const known = this.#sums.get(value);
    if (known === undefined) {
      const flat = builder.add('Reshape', [this.#rows.anyRows(value).name, builder.integers([-1, channels])]);
      builder.add('ReduceSum', [flat, builder.integers([0])], node.attributes, { output });
    } else builder.add('Identity', [known], {}, { output });
    this.#rows.havePlain(output);
    return true;
  }

  #asItWas(node: Node): void {
    const inputs = node.inputs.map((input) => (input === '' ? '' : this.#rows.plain(input)));
    this.#rows.builder.addNode({ ...node, inputs });
    for (const output of node.outputs) if (output !== '') this.#rows.havePlain(output);
  }
}
