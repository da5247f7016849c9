// A training graph in the transformed domain gives what the standard one gives, for random networks. Rounding differs, so that values which
// are equal in the standard graph need not be equal there: gradients are compared where nothing is decided, or where few decisions are near.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { conv, type Layer, maxPool, type Network, relu, trainingGraph } from '../../../test/lowering/network.ts';
import { distance, feedsFor, run, type Values } from '../../../test/lowering/runtime.ts';
import { bindDims, type Graph } from '../../onnx/index.ts';
import { lowerToWinograd } from './lower.ts';

const sigmoid: Layer = { kind: 'activation', op: 'Sigmoid' };
const averagePool: Layer = { kind: 'pool', op: 'AveragePool', kernel: 2, stride: 2, pad: 0 };
const wide = fc
  .record({ out: fc.constantFrom(64, 72, 96), bias: fc.boolean() })
  .map(({ out, bias }) => conv(out, 3, { bias }));
/** Convolutions that stay as they are, between ones that do not. */
const narrow = fc.constantFrom<Layer>(conv(8, 1), conv(12, 3), conv(16, 3, { pads: [0, 1, 2, 1] }));

function networks(stages: fc.Arbitrary<Layer[]>): fc.Arbitrary<Network> {
  return fc.record({
    input: fc
      .tuple(fc.constantFrom(1, 3, 16, 20), fc.constantFrom([8, 8], [16, 12], [4, 8], [32, 16]))
      .map(([channels, [height = 0, width = 0]]) => [channels, height, width] as const),
    layers: fc.array(stages, { minLength: 1, maxLength: 3 }).map((list) => list.flat()),
  });
}

const smoothStages = fc.oneof(
  fc.tuple(wide, fc.constant(sigmoid)),
  fc.tuple(wide, fc.constant(sigmoid), fc.constant(averagePool)),
  fc.tuple(wide, fc.constant<Layer>({ kind: 'residual' }), fc.constant(sigmoid)),
  fc.tuple(wide, fc.constant<Layer>({ kind: 'mask' })),
  fc.tuple(wide, narrow, fc.constant(sigmoid)),
  fc.tuple(wide, fc.constant<Layer>({ kind: 'read-again' }), fc.constant(sigmoid)),
);
const decidingStages = fc.oneof(
  fc.tuple(wide, fc.constant(relu), fc.constant(maxPool)),
  fc.tuple(wide, fc.constant(relu)),
  fc.tuple(wide, fc.constant(relu), fc.constant(averagePool)),
  fc.tuple(wide, fc.constant(relu), fc.constant<Layer>({ kind: 'read-again' })),
  fc.tuple(wide, fc.constant(maxPool), fc.constant(relu)),
  fc.tuple(wide, fc.constant<Layer>({ kind: 'shared' }), fc.constant(relu)),
);

const counts = { lowered: 0, chunked: 0, asTheyAre: 0 };

async function bothWays(graph: Graph, records: number, feeds: Values): Promise<readonly [Values, Values] | undefined> {
  const lowered = lowerToWinograd(graph);
  if (!lowered) {
    counts.asTheyAre++;
    return undefined;
  }
  counts.lowered++;
  if (lowered.graph.nodes.some(({ op }) => op === 'Scan')) counts.chunked++;
  expect([lowered.graph.inputs, lowered.graph.outputs]).toEqual([graph.inputs, graph.outputs]);
  expect(records % lowered.recordsMultiple).toBe(0);
  return [await run(graph, feeds, records), await run(lowered.graph, feeds, records)];
}

function expectNear([expected, got]: readonly [Values, Values], tolerance: (output: string) => number): void {
  for (const [name, value] of Object.entries(expected)) {
    const apart = distance(value, got[name]!);
    if (!(apart < tolerance(name))) expect.fail(`${name} is ${apart} apart, ${tolerance(name)} is allowed`);
  }
}

describe('a training graph in the transformed domain', () => {
  test('gives the same values and gradients up to rounding where nothing is decided', async () => {
    const property = fc.asyncProperty(networks(smoothStages), fc.nat(1e6), async (network, seed) => {
      const graph = trainingGraph(network);
      const both = await bothWays(graph, 16, feedsFor(graph, 16, seed, 'continuous'));
      if (both) expectNear(both, () => 1e-4);
    });
    await fc.assert(property, { seed: 1, numRuns: 25 });
    expect(counts.lowered).toBeGreaterThan(10);
    expect(counts.chunked).toBeGreaterThan(5);
  });

  test('gives the same values, and gradients but for near decisions, with rectifiers and maxima', async () => {
    const property = fc.asyncProperty(networks(decidingStages), fc.nat(1e6), async (network, seed) => {
      const graph = trainingGraph(network);
      const both = await bothWays(graph, 16, feedsFor(graph, 16, seed, 'continuous'));
      if (both) expectNear(both, (name) => (name.startsWith('d:') ? 0.02 : 1e-4));
    });
    await fc.assert(property, { seed: 2, numRuns: 25 });
  });

  test('takes any number of records where images are small, and a fixed number anywhere', async () => {
    for (const [input, records] of [
      [[3, 8, 8], 5],
      [[3, 4, 4], 1],
      [[3, 32, 32], 6],
      [[3, 16, 16], 3],
    ] as const) {
      const open = trainingGraph({ input, layers: [conv(64), sigmoid, conv(64), sigmoid] });
      const graph = input[1] > 8 ? bindDims(open, { N: records }) : open;
      const both = await bothWays(graph, records, feedsFor(graph, records, 3, 'continuous'));
      expectNear(both!, () => 1e-4);
    }
  });

  test('gives the same bits twice', async () => {
    const graph = trainingGraph({ input: [3, 32, 32], layers: [conv(64), relu, conv(64), relu, maxPool] });
    const lowered = lowerToWinograd(graph)!.graph;
    const feeds = feedsFor(graph, 16, 4, 'continuous');
    expect(await run(lowered, feeds, 16)).toEqual(await run(lowered, feeds, 16));
  });

  test('sends the gradient of a flat window to one of its elements', async () => {
    const graph = trainingGraph({ input: [1, 8, 8], layers: [conv(64, 3, { bias: false }), relu, maxPool] });
    const records = 2;
    const ones = Object.entries(feedsFor(graph, records, 1, 'whole')).map(
      ([name, data]) => [name, data.fill(1)] as const,
    );
    // Each channel is the image itself; each pooled value gets a gradient of 3 through the dense layer.
    const p0 = new Float32Array(64 * 9).map((_, tap) => (tap % 9 === 4 ? 1 : 0));
    const dx = (await run(lowerToWinograd(graph)!.graph, { ...Object.fromEntries(ones), p0 }, records))['d:x']!;
    for (let record = 0; record < records; record++)
      for (let y = 0; y < 8; y += 2)
        for (let x = 0; x < 8; x += 2) {
          const at = (record * 8 + y) * 8 + x;
          const window = [0, 1, 8, 9].map((step) => dx[at + step]!);
          expect(window.reduce((sum, value) => sum + value)).toBeCloseTo(64 * 3, 2);
        }
  });
});
