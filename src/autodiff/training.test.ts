// The training form against PyTorch's own numbers (test/golden/torch), and what it refuses.

import { describe, expect, it } from 'vitest';
import {
  feedOf,
  readGolden,
  relativeDifference,
  type Stored,
  type WithGradients,
} from '../../test/golden/torch/golden.ts';
import { runOnRuntime } from '../../test/interpreter/on-runtime.ts';
import { float, GraphBuilder, inline, int, type Graph } from '../onnx/index.ts';
import { float32, tensor } from '../tensor/index.ts';
import { differentiate } from './differentiate.ts';
import { inferenceGraph, trainingGraph } from './training.ts';

interface Golden {
  readonly batchNorms: readonly ({
    readonly momentum: number;
    readonly epsilon: number;
    readonly before: readonly Stored[];
    readonly after: readonly Stored[];
  } & WithGradients)[];
  readonly dropouts: readonly ({ readonly ratio: number; readonly mask: Stored } & WithGradients)[];
}

const golden = readGolden<Golden>('golden.json');

/** The graph with gradients of its output `y` for `wrt` as outputs `dNAME`, the seed being an input. */
function withGradients(graph: Graph, wrt: readonly string[]): Graph {
  const builder = new GraphBuilder(graph.name);
  for (const { name, dtype, dims } of graph.inputs) builder.input(name, dtype, dims);
  const outputs = inline(builder, graph, new Map(graph.inputs.map(({ name }) => [name, name])));
  const y = outputs.get('y')!;
  const gradients = differentiate(builder, new Map([[y, builder.input('seed', 'float32', builder.dimsOf(y))]]), wrt);
  for (const value of outputs.values()) builder.output(value);
  for (const value of wrt) builder.output(gradients.get(value)!, `d${value}`);
  return builder.build();
}

describe('batch normalisation in training', () => {
  it.each(golden.batchNorms)('is PyTorch’s for $inputs.0.dims: values, gradients, running statistics', async (norm) => {
    const builder = new GraphBuilder('norm');
    const names = ['x', 'scale', 'bias', 'mean', 'variance'];
    [...norm.inputs, ...norm.before].forEach(({ dims }, index) =>
      builder.input(names[index]!, 'float32', index === 0 ? ['N', ...dims.slice(1)] : dims),
    );
    builder.add(
      'BatchNormalization',
      names,
      { momentum: float(norm.momentum), epsilon: float(norm.epsilon) },
      { output: 'y' },
    );
    builder.output('y');
    const { graph, statistics } = trainingGraph(builder.build());
    expect(statistics.map(({ input }) => input)).toEqual(['mean', 'variance']);
    const feeds = Object.fromEntries(
      [...norm.inputs, ...norm.before].map((value, index) => [names[index]!, feedOf(value)]),
    );
    const got = await runOnRuntime(withGradients(graph, ['x', 'scale', 'bias']), { ...feeds, seed: feedOf(norm.seed) });
    expect(relativeDifference(got['y']!.data, norm.output.data)).toBeLessThan(3e-6);
    ['x', 'scale', 'bias'].forEach((name, index) => {
      expect(relativeDifference(got[`d${name}`]!.data, norm.gradients[index]!.data)).toBeLessThan(1e-5);
    });
    statistics.forEach(({ output }, index) => {
      expect(relativeDifference(got[output]!.data, norm.after[index]!.data)).toBeLessThan(1e-6);
    });
  });

  it('keeps the running statistics’ names where the node has such outputs', () => {
    const builder = new GraphBuilder('norm');
    const names = ['x', 'scale', 'bias', 'mean', 'variance'];
    for (const name of names) builder.input(name, 'float32', name === 'x' ? ['N', 2] : [2]);
    const outputs = ['y', 'mean after', 'variance after'];
    const attributes = { training_mode: int(1) };
    builder.addNode({ op: 'BatchNormalization', domain: '', inputs: names, outputs, attributes });
    for (const output of outputs) builder.output(output);
    const { graph, statistics } = trainingGraph(builder.build());
    expect(statistics.map(({ output }) => output)).toEqual(['mean after', 'variance after']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(outputs);
  });
});

/** y = Relu(Dropout(Dropout(x, ratio), 0)). */
function dropping(ratio: number): Graph {
  const builder = new GraphBuilder('dropping');
  builder.input('x', 'float32', ['N', 3, 2]);
  const first = builder.add('Dropout', ['x', builder.scalar(ratio)], {}, { output: 'first' });
  const second = builder.add('Dropout', [first, builder.scalar(0)], {}, { output: 'second' });
  builder.add('Relu', [second], {}, { output: 'y' });
  builder.output('y');
  return builder.build();
}

describe('dropout in training', () => {
  it.each(golden.dropouts)(
    'scales as PyTorch for a ratio of $ratio',
    async ({ ratio, mask, inputs, output, seed, gradients }) => {
      const { graph, masks } = trainingGraph(dropping(ratio));
      const keepProbability: unknown = expect.closeTo(1 - ratio, 7);
      expect(masks).toEqual([{ name: 'mask:0', layer: 0, dims: [3, 2], keepProbability }]);
      expect(graph.inputs.at(-1)).toEqual({ name: 'mask:0', dtype: 'bool', dims: ['N', 3, 2] });
      const feeds = { x: feedOf(inputs[0]!), 'mask:0': feedOf(mask), seed: feedOf(seed) };
      const got = await runOnRuntime(withGradients(graph, ['x']), feeds);
      expect(relativeDifference(got['y']!.data, output.data)).toBeLessThan(1e-6);
      expect(relativeDifference(got['dx']!.data, gradients[0]!.data)).toBeLessThan(1e-6);
    },
  );

  it('numbers its layers by their place among all dropout nodes', () => {
    const builder = new GraphBuilder('three');
    let value = builder.input('x', 'float32', ['N', 4]);
    for (const ratio of [0.5, 0, 0.25]) value = builder.add('Dropout', [value, builder.scalar(ratio)]);
    builder.output(value);
    const { masks } = trainingGraph(builder.build());
    expect(masks.map(({ layer, keepProbability }) => [layer, keepProbability])).toEqual([
      [0, 0.5],
      [2, 0.75],
    ]);
  });

  it('passes everything on in the inference form, which has neither masks nor other names', async () => {
    const graph = inferenceGraph(dropping(0.5));
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(graph.nodes.flatMap(({ outputs }) => outputs)).toEqual(['first', 'second', 'y']);
    const x = { dims: [1, 3, 2], data: Float64Array.of(1, 2, 3, 4, 5, 6) };
    const got = await runOnRuntime(graph, { x });
    expect([...got['y']!.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('refuses a ratio that is not known, is 1, or whose mask is read', () => {
    const withRatio = (ratio: (builder: GraphBuilder) => string): Graph => {
      const builder = new GraphBuilder('bad');
      builder.input('x', 'float32', ['N', 2]);
      builder.output(builder.add('Dropout', ['x', ratio(builder)]));
      return builder.build();
    };
    expect(() => trainingGraph(withRatio((builder) => builder.input('r', 'float32', [])))).toThrow(
      /"r" must be a constant/,
    );
    expect(() => trainingGraph(withRatio((builder) => builder.scalar(1)))).toThrow(/from 0 to below 1/);
    const builder = new GraphBuilder('mask');
    builder.input('x', 'float32', ['N', 2]);
    const outputs = ['y', 'kept'];
    builder.addNode({ op: 'Dropout', domain: '', inputs: ['x'], outputs, attributes: {} });
    builder.output('y');
    builder.output('kept');
    expect(() => trainingGraph(builder.build())).toThrow(/second output "kept"/);
  });
});

describe('batch normalisation in inference', () => {
  it('uses the running statistics and keeps its values’ names', async () => {
    const builder = new GraphBuilder('norm');
    builder.input('x', 'float32', ['N', 2]);
    const constant = (name: string, values: number[]): string => builder.initializer(name, float32(values));
    const inputs = ['x', constant('s', [2, 1]), constant('b', [1, 0]), constant('m', [1, 2]), constant('v', [4, 1])];
    builder.initializer('unused', tensor('float32', [1], new Float32Array(1)));
    builder.addNode({
      op: 'BatchNormalization',
      domain: '',
      inputs,
      outputs: ['y', 'm2', 'v2'],
      attributes: { training_mode: int(1), epsilon: float(0) },
    });
    builder.output('y');
    const graph = inferenceGraph(builder.build());
    expect(graph.nodes.map(({ op, outputs }) => [op, outputs])).toEqual([['BatchNormalization', ['y']]]);
    const got = await runOnRuntime(graph, { x: { dims: [1, 2], data: Float64Array.of(3, 5) } });
    expect([...got['y']!.data]).toEqual([3, 3]);
  });
});
