import { describe, expect, test } from 'vitest';
import { conv, relu, trainingGraph } from '../../test/lowering/network.ts';
import { distance, feedsFor, run, type Values } from '../../test/lowering/runtime.ts';
import { builderOf, type Graph, GraphBuilder, int, validate } from '../onnx/index.ts';
import { inUnits } from './units.ts';

/** A training step: y and the gradient of x for each record, each parameter after a step along its gradient. */
function step(): Graph {
  const builder = builderOf(trainingGraph({ input: [2, 5, 5], layers: [conv(3), relu] }));
  for (const output of ['y', 'd:x']) builder.output(output);
  for (const name of ['p0', 'p1', 'p2', 'p3'])
    builder.output(builder.add('Sub', [name, builder.add('Mul', [`d:${name}`, builder.scalar(0.5)])]), `${name}.next`);
  return builder.build({ prune: true });
}

/** A graph with input x [N, 3] and parameter p [3]. */
function graphOf(make: (builder: GraphBuilder) => readonly string[]): Graph {
  const builder = new GraphBuilder('small');
  builder.input('x', 'float32', ['N', 3]);
  builder.input('p', 'float32', [3]);
  for (const output of make(builder)) builder.output(output);
  return builder.build();
}

const sumOfRecords = (builder: GraphBuilder, value: string): string =>
  builder.add('ReduceSum', [value, builder.integers([0])], { keepdims: int(0) });
const names = (values: readonly { readonly name: string }[]): string[] => values.map(({ name }) => name);

describe('a step in units', () => {
  const graph = step();
  const parts = inUnits(graph)!;

  test('has what is of a record in one part and the update in the other', () => {
    validate(parts.records);
    validate(parts.rest);
    expect(parts.records.outputs.slice(0, 2)).toEqual(graph.outputs.slice(0, 2));
    expect(names(parts.records.outputs).slice(2).toSorted()).toEqual(names(parts.sums).toSorted());
    expect(names(parts.rest.outputs)).toEqual(['p0.next', 'p1.next', 'p2.next', 'p3.next']);
    expect(names(parts.rest.inputs)).not.toContain('x');
    expect(new Set(parts.rest.nodes.map(({ op }) => op))).toEqual(new Set(['Sub', 'Mul', 'Identity']));
  });

  test('gives what the whole gives, when the units’ sums are added', async () => {
    const feeds = feedsFor(graph, 5, 1, 'continuous');
    const expected = await run(graph, feeds, 5);
    const sums: Record<string, Float32Array> = {};
    const rows: Record<string, number[]> = { y: [], 'd:x': [] };
    for (const [from, count] of [
      [0, 2],
      [2, 3],
    ] as const) {
      const results = await run(parts.records, unitOf(feeds, from, count), count);
      for (const name of names(parts.sums))
        sums[name] = results[name]!.map((value, at) => value + (sums[name]?.[at] ?? 0));
      for (const [name, list] of Object.entries(rows)) list.push(...results[name]!);
    }
    const rest = await run(parts.rest, { ...feeds, ...sums }, 5);
    const got: Values = { ...rest, y: Float32Array.from(rows['y']!), 'd:x': Float32Array.from(rows['d:x']!) };
    for (const name of names(graph.outputs))
      expect([name, distance(expected[name]!, got[name]!) < 1e-5]).toEqual([name, true]);
  });

  /** The feeds with some records only. */
  function unitOf(feeds: Values, from: number, count: number): Values {
    const some = graph.inputs.map(({ name, dims }) => {
      const data = feeds[name]!;
      const width = data.length / 5;
      return [name, typeof dims[0] === 'string' ? data.slice(from * width, (from + count) * width) : data] as const;
    });
    return Object.fromEntries(some);
  }

  test('knows how much a record weighs', () => {
    const weight = (network: Parameters<typeof trainingGraph>[0]): number => {
      const builder = builderOf(trainingGraph(network));
      builder.output(builder.add('Mul', ['d:p0', builder.scalar(2)]), 'update');
      return inUnits(builder.build({ prune: true }))!.recordBytes;
    };
    const small = weight({ input: [2, 8, 8], layers: [conv(4), relu] });
    expect(small).toBeGreaterThan(4 * 4 * 64);
    expect(weight({ input: [2, 16, 16], layers: [conv(4), relu] }) / small).toBeCloseTo(4, 0);
  });
});

describe('a graph has no units', () => {
  test.each<[string, (builder: GraphBuilder) => readonly string[]]>([
    [
      'where records meet',
      (builder) => [builder.add('Mul', [builder.add('Sub', ['x', sumOfRecords(builder, 'x')]), builder.scalar(2)])],
    ],
    ['without a sum over records', (builder) => [builder.add('Mul', ['x', 'p']), builder.add('Neg', ['p'])]],
    ['where nothing is done with the sums', (builder) => [sumOfRecords(builder, 'x')]],
    [
      'where a sum is put out as well',
      (builder) => {
        const sum = sumOfRecords(builder, 'x');
        return [sum, builder.add('Sub', ['p', sum])];
      },
    ],
  ])('%s', (_, make) => {
    expect(inUnits(graphOf(make))).toBeUndefined();
  });

  test('and has them where all is as it should be', () => {
    const parts = inUnits(
      graphOf((builder) => [builder.add('Neg', ['x']), builder.add('Sub', ['p', sumOfRecords(builder, 'x')])]),
    )!;
    expect([parts.records, parts.rest].map(({ nodes }) => nodes.map(({ op }) => op))).toEqual([
      ['Neg', 'ReduceSum'],
      ['Sub'],
    ]);
  });
});
