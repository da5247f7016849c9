// A lowered training graph gives what the standard one gives, for random networks.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { conv, type Layer, type Network, relu, trainingGraph } from '../../test/lowering/network.ts';
import { blockHere, distance, feedsFor, run } from '../../test/lowering/runtime.ts';
import type { Graph, Node } from '../onnx/index.ts';
import { blockedDomain } from './block.ts';
import { lowerToBlocks } from './lower.ts';

const block = await blockHere();

const fitting = fc
  .tuple(fc.constantFrom(16, 32, 48), fc.constantFrom(1, 3, 5))
  .map(([out, kernel]) => conv(out, kernel));
const anyConv: fc.Arbitrary<Layer> = fc.record({
  kind: fc.constant('conv'),
  out: fc.constantFrom(8, 16, 20, 32),
  kernel: fc.constantFrom(1, 3, 5),
  stride: fc.constantFrom(1, 1, 2),
  pads: fc.constantFrom([0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [0, 1, 2, 1], [2, 0, 0, 1]),
  bias: fc.boolean(),
  groups: fc.constantFrom('one', 'one', 'one', 'halves', 'depthwise'),
});
const convs = fc.oneof({ weight: 3, arbitrary: fitting }, { weight: 2, arbitrary: anyConv });
const tile = { kind: 'pool', op: 'MaxPool', kernel: 2, stride: 2, pad: 0 } as const;
const anyPool: fc.Arbitrary<Layer> = fc.constantFrom<Layer[]>(
  tile,
  tile,
  { ...tile, kernel: 3, pad: 1 },
  { ...tile, kernel: 3 },
  { ...tile, op: 'AveragePool' },
);

/** Networks of these activations and pools; smooth ones have no Relu, no maximum and nothing that is cut off. */
function networks(
  activations: readonly ('Relu' | 'LeakyRelu' | 'Sigmoid')[],
  pools: fc.Arbitrary<Layer>,
): fc.Arbitrary<Network> {
  const smooth = !activations.includes('Relu');
  const activation = fc.constantFrom(...activations).map((op): Layer => ({ kind: 'activation', op }));
  const before: fc.Arbitrary<Layer> = smooth ? activation : fc.constant(relu);
  const kinds = [
    'residual',
    'mask',
    'read-again',
    ...(smooth ? [] : (['shared', 'squeeze', 'clip'] as const)),
  ] as const;
  const other = fc.constantFrom(...kinds).map((kind): Layer => ({ kind }));
  const stages = fc.oneof(
    { weight: smooth ? 0 : 3, arbitrary: fc.tuple(fitting, before, fc.constant(tile)) },
    { weight: 2, arbitrary: fc.tuple(convs, before, pools) },
    { weight: 1, arbitrary: fc.tuple(convs, before, other, pools) },
    { weight: 2, arbitrary: fc.tuple(convs, activation) },
    { weight: 2, arbitrary: fc.tuple(fc.oneof(pools, other)) },
  );
  return fc.record({
    input: fc
      .tuple(fc.constantFrom(1, 3, 8, 16, 20), fc.constantFrom([8, 8], [8, 6], [4, 8], [7, 8], [5, 7]))
      .map(([channels, [height = 0, width = 0]]) => [channels, height, width] as const),
    layers: fc.array(stages, { minLength: 1, maxLength: 3 }).map((list) => list.flat()),
    inDouble: fc.boolean(),
  });
}

/** What the lowerings of a property did, so that one which only saw idle ones fails. */
class Tally {
  readonly counts = {
    lowered: 0,
    asTheyAre: 0,
    phasedPools: 0,
    blockedPools: 0,
    weightGradients: 0,
    recordGradients: 0,
    moving: 0,
  };

  add(graph: Graph, lowered: Graph | undefined): void {
    const { counts } = this;
    if (!lowered) {
      counts.asTheyAre++;
      return;
    }
    const blocked = (node: Node) => node.domain === blockedDomain;
    const maxPools = ({ nodes }: Graph): number => nodes.filter(({ op }) => op === 'MaxPool').length;
    const kernel = (node: Node): string => JSON.stringify(node.attributes['kernel_shape']);
    const kernels = new Set(graph.nodes.filter(({ op }) => op === 'Conv').map(kernel));
    counts.lowered++;
    counts.phasedPools += maxPools(graph) - maxPools(lowered);
    counts.blockedPools += lowered.nodes.filter((node) => blocked(node) && node.op.endsWith('Pool')).length;
    const products = new Set(lowered.nodes.filter(({ op }) => op === 'MatMul').flatMap(({ outputs }) => outputs));
    counts.recordGradients += (graph.hints ?? []).filter(
      ({ op, output }) => op === 'ConvRecordGradients' && !products.has(output),
    ).length;
    counts.weightGradients += lowered.nodes.filter(
      (node) => node.op === 'Conv' && blocked(node) && !kernels.has(kernel(node)),
    ).length;
  }
}

/** Lowers the network's training graph and compares every output that `toleranceOf` says, for values of the given kind. */
async function expectSame(
  network: Network,
  values: { readonly records: number; readonly seed: number; readonly kind: 'whole' | 'continuous' },
  tally: Tally,
  toleranceOf: (output: string) => number | undefined,
): Promise<void> {
  const { records, seed, kind } = values;
  const graph = trainingGraph(network);
  const lowered = lowerToBlocks(graph, block!);
  tally.add(graph, lowered?.graph);
  if (!lowered) return;
  expect(records % lowered.recordsMultiple).toBe(0);
  expect([lowered.graph.inputs, lowered.graph.outputs]).toEqual([graph.inputs, graph.outputs]);
  const feeds = feedsFor(graph, records, seed, kind);
  const [expected, got] = [await run(graph, feeds, records), await run(lowered.graph, feeds, records)];
  for (const { name } of graph.outputs) {
    const apart = distance(expected[name]!, got[name]!);
    const tolerance = toleranceOf(name) ?? Infinity;
    if (!(apart < tolerance)) expect.fail(`${name} is ${apart} apart, ${tolerance} is allowed`);
  }
  if (expected['d:p0']!.some((value) => value !== 0)) tally.counts.moving++;
}

const isGradient = (output: string): boolean => output.startsWith('d:');

describe.skipIf(block === undefined)('a lowered training graph (only where ONNX Runtime has blocked kernels)', () => {
  test('gives the same values and gradients, ties included, where sums are exact', async () => {
    const tally = new Tally();
    const property = fc.asyncProperty(
      networks(['Relu', 'LeakyRelu'], anyPool),
      fc.constantFrom(16, 32, 48),
      fc.nat(1e6),
      (network, records, seed) => expectSame(network, { records, seed, kind: 'whole' }, tally, () => 1e-6),
    );
    await fc.assert(property, { seed: 1, numRuns: 120 });
    const { lowered, asTheyAre, phasedPools, blockedPools, weightGradients, recordGradients, moving } = tally.counts;
    expect(lowered + asTheyAre).toBe(120);
    expect(asTheyAre).toBeGreaterThan(0);
    expect(phasedPools).toBeGreaterThan(10);
    expect(blockedPools).toBeGreaterThan(10);
    expect(weightGradients).toBeGreaterThan(50);
    expect(recordGradients).toBeGreaterThan(3);
    expect(moving).toBeGreaterThan(0.8 * lowered);
  });

  test('gives the same values up to rounding elsewhere', async () => {
    const tally = new Tally();
    const property = fc.asyncProperty(
      networks(['Relu', 'Sigmoid', 'LeakyRelu'], anyPool),
      fc.nat(1e6),
      (network, seed) =>
        // A gradient takes another way where rounding decides between two near values.
        expectSame(network, { records: 16, seed, kind: 'continuous' }, tally, (name) =>
          isGradient(name) ? undefined : 1e-5,
        ),
    );
    await fc.assert(property, { seed: 2, numRuns: 20 });
    expect(tally.counts.phasedPools).toBeGreaterThan(3);
  });

  test('gives the same gradients up to rounding where nothing is decided', async () => {
    const tally = new Tally();
    const averagePool: fc.Arbitrary<Layer> = fc.constant({
      kind: 'pool',
      op: 'AveragePool',
      kernel: 2,
      stride: 2,
      pad: 0,
    });
    const property = fc.asyncProperty(networks(['Sigmoid'], averagePool), fc.nat(1e6), (network, seed) =>
      expectSame(network, { records: 16, seed, kind: 'continuous' }, tally, (name) => (isGradient(name) ? 1e-4 : 1e-5)),
    );
    await fc.assert(property, { seed: 3, numRuns: 50 });
    expect(tally.counts.weightGradients).toBeGreaterThan(10);
  });
});
