// The training form of a graph: batch normalisation by the batch's own statistics, and dropout by given masks, with their
// gradients; and the inference form.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inferenceGraph, trainingGraph } from '../../src/autodiff/index.ts';
import { float, GraphBuilder, inline, type Dim, type Graph } from '../../src/onnx/index.ts';
import { checkFiniteDifferences, checkOnRuntime, differentiated } from './check-gradients.ts';
import { largestDifference } from './compare.ts';
import { interpret } from './interpret.ts';
import { ordinary, positive, Scenario, type GradientCase } from './scenario.ts';
import { f64 } from './values.ts';

const channels = 2;
const inputs = ['x', 'scale', 'bias', 'mean', 'variance'] as const;

/** y = BatchNormalization(x), then Dropout. */
function network(dims: readonly Dim[], momentum: number, ratio: number): Graph {
  const builder = new GraphBuilder('network');
  for (const name of inputs) builder.input(name, 'float32', name === 'x' ? dims : [channels]);
  const attributes = { epsilon: float(0.01), momentum: float(momentum) };
  const normal = builder.add('BatchNormalization', inputs, attributes, { output: 'normal' });
  builder.add('Dropout', [normal, builder.scalar(ratio)], {}, { output: 'y' });
  builder.output('y');
  return builder.build();
}

interface Drawn {
  readonly dims: readonly Dim[];
  readonly momentum: number;
  readonly ratio: number;
}

/** The training form of the network inside a gradient case. Its running statistics are outputs as well. */
function trainingCase(drawn: { current?: Drawn }): GradientCase {
  return {
    title: 'training form',
    build: (s) => {
      const dims: Dim[] = [s.N, channels, ...s.integers(s.integer(0, 2), 2, 3)];
      fc.pre(s.records > 1 || dims.length > 2);
      drawn.current = { dims, momentum: s.pick(0.9, 0.5), ratio: s.pick(0, 0.25, 0.5) };
      const form = trainingGraph(network(dims, drawn.current.momentum, drawn.current.ratio));
      const bindings = new Map([
        ['x', s.input(dims)],
        ['scale', s.input([channels], positive)],
        ['bias', s.input([channels])],
        ['mean', s.fixed([channels])],
        ['variance', s.fixed([channels], positive)],
      ]);
      for (const mask of form.masks) bindings.set(mask.name, s.flags([s.N, ...mask.dims]));
      const results = inline(s.builder, form.graph, bindings);
      return ['y', ...form.statistics.map(({ output }) => output)].map((name) => results.get(name)!);
    },
  };
}

test('batch normalisation and dropout in training form: values, running statistics and gradients', async () => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const drawn: { current?: Drawn } = {};
      const scenario = new Scenario(draw);
      const graphs = differentiated(scenario, trainingCase(drawn));
      checkFiniteDifferences(graphs);
      await checkOnRuntime(graphs.backward, graphs.feeds);

      const { momentum, ratio } = drawn.current!;
      const [x, scale, bias, mean, variance] = graphs.forward.inputs.map(({ name }) => graphs.feeds[name]!) as [
        ReturnType<typeof f64>,
        ReturnType<typeof f64>,
        ReturnType<typeof f64>,
        ReturnType<typeof f64>,
        ReturnType<typeof f64>,
      ];
      const mask = graphs.forward.inputs[5] && graphs.feeds[graphs.forward.inputs[5].name]!;
      const plane = x.data.length / x.dims[0]! / channels;
      const channelOf = (at: number): number => Math.floor(at / plane) % channels;
      const batch = Array.from({ length: channels }, (_, c) => {
        const own = Array.from(x.data).filter((_each, at) => channelOf(at) === c);
        const average = own.reduce((sum, each) => sum + each, 0) / own.length;
        const squares = own.reduce((sum, each) => sum + (each - average) ** 2, 0);
        return { average, population: squares / own.length, unbiased: squares / (own.length - 1) };
      });
      const y = Array.from(x.data, (each, at) => {
        const c = channelOf(at);
        const { average, population } = batch[c]!;
        const normal = ((each - average) / Math.sqrt(population + 0.01)) * scale.data[c]! + bias.data[c]!;
        return mask ? (normal * mask.data[at]!) / (1 - ratio) : normal;
      });
      const running = (old: Float64Array, taken: number[]): number[] =>
        taken.map((each, c) => momentum * old[c]! + (1 - momentum) * each);
      const [yName, meanName, varianceName] = graphs.forward.outputs.map(({ name }) => name) as [
        string,
        string,
        string,
      ];
      const outputs = interpret(graphs.forward, graphs.feeds);
      expect(mask === undefined).toBe(ratio === 0);
      expect(largestDifference(outputs[yName]!, f64(x.dims, y))).toBeLessThan(1e-6);
      const means = running(
        mean.data,
        batch.map(({ average }) => average),
      );
      const variances = running(
        variance.data,
        batch.map(({ unbiased }) => unbiased),
      );
      expect(largestDifference(outputs[meanName]!, f64([channels], means))).toBeLessThan(1e-6);
      expect(largestDifference(outputs[varianceName]!, f64([channels], variances))).toBeLessThan(1e-6);
    }),
    { seed: 20210810, numRuns: 24 },
  );
});

test('the inference form normalises by the running statistics and drops nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const s = new Scenario(draw);
      const dims = [s.N, channels, 2];
      const feeds = {
        x: s.numbers(dims, ordinary),
        scale: s.numbers([channels]),
        bias: s.numbers([channels]),
        mean: s.numbers([channels]),
        variance: s.numbers([channels], positive),
      };
      const graph = inferenceGraph(network(dims, 0.9, 0.5));
      const expected = feeds.x.data.map((each, at) => {
        const c = Math.floor(at / 2) % channels;
        const deviation = Math.sqrt(feeds.variance.data[c]! + 0.01);
        return ((each - feeds.mean.data[c]!) / deviation) * feeds.scale.data[c]! + feeds.bias.data[c]!;
      });
      expect(largestDifference(interpret(graph, feeds)['y']!, f64(feeds.x.dims, expected))).toBeLessThan(1e-7);
      await checkOnRuntime(graph, feeds);
    }),
    { seed: 20210810, numRuns: 8 },
  );
});
