import { describe, expect, it } from 'vitest';
import { allocate, type DType, float32, int64, tensor } from '../../tensor/index.ts';
import { GraphBuilder } from '../builder.ts';
import { float, type Graph, int, ints, text } from '../graph.ts';
import { readModel } from './read.ts';
import { graphHash, writeModel } from './write.ts';

const dtypes: readonly DType[] = [
  'float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'bool',
]; // prettier-ignore

function network(): Graph {
  const builder = new GraphBuilder('network');
  builder.input('x', 'float32', ['N', 1, 4, 4]);
  builder.initializer('w', float32([...Array(18).keys()], [2, 1, 3, 3]));
  const sum = builder.add('Conv', ['x', 'w'], { pads: ints([1, 1, 1, 1]), auto_pad: text('NOTSET'), group: int(1) });
  const active = builder.add('LeakyRelu', [sum], { alpha: float(0.1) });
  const clipped = builder.add('Clip', [active, '', builder.scalar(6)]);
  const parts = builder.split(clipped, 1, [1, 1]);
  builder.output(parts[1] ?? '', 'y');
  builder.output(builder.add('Reshape', [clipped, builder.integers([-1, 4])]), 'rows');
  for (const dtype of dtypes) builder.initializer(`of ${dtype}`, tensor(dtype, [0, 2], allocate(dtype, 0)));
  builder.initializer('large', int64([2 ** 53 - 1, -1]));
  builder.addNode({
    op: 'Constant',
    domain: '',
    inputs: [],
    outputs: ['constant'],
    attributes: { value: { kind: 'tensor', value: float32([NaN, -0, Infinity]) } },
  });
  return builder.build({ metadata: { 'septum.cut': '1', a: 'ä' } });
}

describe('a written file', () => {
  it('reads back as the same graph', () => {
    expect(readModel(writeModel(network()))).toEqual(network());
  });

  it('keeps lists of floats and strings, other domains and values that are left out', () => {
    const graph: Graph = {
      ...network(),
      opsets: { '': 21, 'com.example': 3 },
      nodes: [
        {
          op: 'Anything',
          domain: 'com.example',
          name: 'node',
          inputs: ['', 'x'],
          outputs: ['', 'y'],
          attributes: {
            list: { kind: 'floats', value: [0.5, -1.25] },
            none: { kind: 'ints', value: [] },
            zero: int(0),
            empty: text(''),
            words: { kind: 'strings', value: ['one', ''] },
          },
        },
      ],
      outputs: [{ name: 'y', dtype: 'float16', dims: [] }],
    };
    expect(readModel(writeModel(graph))).toEqual(graph);
  });

  it('has bytes that do not depend on the order of attributes, operator sets and metadata', () => {
    const graph = network();
    const reordered: Graph = {
      ...graph,
      metadata: Object.fromEntries(Object.entries(graph.metadata).toReversed()),
      nodes: graph.nodes.map((node) => ({
        ...node,
        attributes: Object.fromEntries(Object.entries(node.attributes).toReversed()),
      })),
    };
    expect(writeModel(reordered)).toEqual(writeModel(graph));
  });

  it('has a hash that every part of the graph changes, weights included', () => {
    const graph = network();
    expect(graphHash(network())).toBe(graphHash(graph));
    expect(graphHash(graph)).toMatch(/^[0-9a-f]{64}$/);
    const weights = new Map(graph.initializers).set('w', float32(Array(18).fill(0), [2, 1, 3, 3]));
    const others: Graph[] = [
      { ...graph, initializers: weights },
      { ...graph, name: 'other' },
      { ...graph, metadata: {} },
      { ...graph, nodes: graph.nodes.slice(0, -1) },
    ];
    expect(new Set([graph, ...others].map(graphHash)).size).toBe(5);
  });

  it('shares no memory with what is read from it', () => {
    const bytes = writeModel(network());
    const graph = readModel(bytes);
    bytes.fill(0);
    expect(graph).toEqual(network());
  });

  it('cut short anywhere is refused', () => {
    const bytes = writeModel(network());
    for (let length = 0; length < bytes.length; length += 7) {
      expect(() => readModel(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: 'bad-model-file' }));
    }
  });
});
