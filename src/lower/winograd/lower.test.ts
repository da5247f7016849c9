// Which graphs go into the transformed domain, and how near its gradients are to float64's.

import { describe, expect, test } from 'vitest';
import { interpret } from '../../../test/interpreter/index.ts';
import { conv, type Layer, maxPool, relu, trainingGraph } from '../../../test/lowering/network.ts';
import { distance, feedsFor, run } from '../../../test/lowering/runtime.ts';
import { lowerToWinograd } from './lower.ts';

describe('left as it is', () => {
  test.each<[string, readonly [number, number, number], Layer[]]>([
    ['with sizes that no whole tiles cover', [3, 6, 8], [conv(64)]],
    ['with few channels', [3, 8, 8], [conv(32), relu, conv(32)]],
    ['of another size', [64, 8, 8], [conv(64, 5)]],
    ['with a stride', [64, 8, 8], [conv(64, 3, { stride: 2 })]],
    ['with other pads', [64, 8, 8], [conv(64, 3, { pads: [0, 0, 2, 2] })]],
    ['in groups', [64, 8, 8], [conv(64, 3, { groups: 'halves' })]],
  ])('a convolution %s', (_, input, layers) => {
    expect(lowerToWinograd(trainingGraph({ input, layers }))).toBeUndefined();
  });

  test('a graph that has more work elsewhere', () => {
    expect(lowerToWinograd(trainingGraph({ input: [3, 8, 8], layers: [conv(64), conv(64, 5)] }))).toBeUndefined();
  });
});

test('both gradients of a convolution come from one pass over its output’s gradient', () => {
  const graph = trainingGraph({ input: [3, 64, 64], layers: [conv(64), relu, conv(64), relu, maxPool] });
  const { graph: lowered, recordsMultiple } = lowerToWinograd(graph)!;
  expect(recordsMultiple).toBe(2);
  expect(lowered.nodes.filter(({ op }) => op === 'Scan')).toHaveLength(4);
  for (const op of ['Conv', 'MaxPool']) expect(lowered.nodes.filter((node) => node.op === op)).toEqual([]);
});

test('gradients are as near to those in float64 as rounding allows', async () => {
  const records = 4;
  const graph = trainingGraph({ input: [3, 8, 8], layers: [conv(64), relu, conv(64), relu, maxPool, conv(64), relu] });
  const feeds = feedsFor(graph, records, 5, 'continuous');
  const inDouble = graph.inputs.map(({ name, dims }) => {
    const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : records));
    return [name, { dims: sizes, data: Float64Array.from(feeds[name]!) }] as const;
  });
  const expected = interpret(graph, Object.fromEntries(inDouble));
  const got = await run(lowerToWinograd(graph)!.graph, feeds, records);
  for (const { name } of graph.outputs)
    expect([name, distance(Float32Array.from(expected[name]!.data), got[name]!) < 2e-5]).toEqual([name, true]);
});
