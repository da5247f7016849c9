// Which rewrites a lowering makes, and which it leaves alone.

import { describe, expect, test } from 'vitest';
import { conv, type Layer, maxPool, type Network, relu, trainingGraph } from '../../test/lowering/network.ts';
import { blockHere, feedsFor, run } from '../../test/lowering/runtime.ts';
import { bindDims, type Graph, GraphBuilder, int, ints, intsAttribute, type Node, text } from '../onnx/index.ts';
import { blockedDomain, blockFrom, blockProbe } from './block.ts';
import { lowerToBlocks } from './lower.ts';

const block = await blockHere();

function lowered(graph: Graph): Graph {
  const result = lowerToBlocks(graph, 16);
  expect(result, 'is lowered').toBeDefined();
  return result!.graph;
}

const ofNetwork = (input: Network['input'], ...layers: Layer[]): Graph => lowered(trainingGraph({ input, layers }));
const named = (graph: Graph, op: string, domain = ''): Node[] =>
  graph.nodes.filter((node) => node.op === op && node.domain === domain);
const readersOf = (graph: Graph, value = ''): string[] =>
  graph.nodes.filter(({ inputs }) => inputs.includes(value)).map(({ op }) => op);
/** Every value that this one needs, itself included. */
function needs(graph: Graph, value: string): Set<string> {
  const found = new Set<string>();
  const open = [value];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (found.has(one)) continue;
    found.add(one);
    const name = one;
    open.push(...(graph.nodes.find(({ outputs }) => outputs.includes(name))?.inputs ?? []));
  }
  return found;
}
const blocked = (graph: Graph, op: string): Node[] => named(graph, op, blockedDomain);
const kernels = (nodes: readonly Node[]): string[] =>
  nodes.map((node) => intsAttribute(node, 'kernel_shape', []).join()).toSorted();
/** The attribute of each node as text. */
const each = (nodes: readonly Node[], attribute: string): string[] =>
  nodes.map((node) => intsAttribute(node, attribute, []).join());

/** A graph of one input x [N, …dims] and one output that `make` adds. */
function forward(dims: readonly number[], make: (builder: GraphBuilder, x: string) => string): Graph {
  const builder = new GraphBuilder('forward');
  builder.output(make(builder, builder.input('x', 'float32', ['N', ...dims])), 'y');
  return builder.build();
}

const weights = (builder: GraphBuilder, ...dims: number[]): string =>
  builder.input(builder.fresh('w'), 'float32', dims);

describe('a 2 x 2 maximum after Conv and Relu', () => {
  const graph = ofNetwork([16, 8, 8], conv(32), relu, maxPool);

  test('becomes a convolution for each place of the window, and nothing stays at full resolution', () => {
    expect(named(graph, 'MaxPool').concat(blocked(graph, 'MaxPool'))).toEqual([]);
    const places = blocked(graph, 'Conv').filter((node) => each([node], 'strides')[0] === '2,2');
    expect(kernels(places)).toEqual(['3,3', '3,3', '3,3', '3,3']);
    expect(each(places, 'pads')).toEqual(['1,1,0,0', '1,0,0,1', '0,1,1,0', '0,0,1,1']);
    const ofImages = ({ outputs: [max] }: Node) =>
      readersOf(graph, max).some((op) => op === 'Relu' || op === 'Greater');
    expect(named(graph, 'Max').filter(ofImages)).toHaveLength(3);
    expect(graph.nodes.flatMap(({ inputs }) => inputs).filter((input) => input === 'relu')).toEqual([]);
  });

  test('has its gradient at the size of the pool: nothing is sliced or compared at full resolution', () => {
    // The one Slice turns the kernel for the input's gradient.
    expect(named(graph, 'Slice').map(({ inputs }) => inputs[0])).toEqual(['p0']);
    expect(named(graph, 'Equal')).toEqual([]);
    expect(named(graph, 'Greater')).toHaveLength(4);
    // The bias's gradient is the sum of the pool's, gated: a product, not what was put side by side.
    const sum = graph.nodes.find(({ outputs }) => outputs[0] === named(graph, 'ReduceSum').at(-1)?.inputs[0]);
    expect(graph.nodes.find(({ outputs }) => outputs[0] === sum?.inputs[0])?.op).toBe('Mul');
  });

  test('compares its places before anything reads the pool, so that they need not be kept for the gradient', () => {
    const forward = needs(graph, 'y');
    const comparisons = named(graph, 'Greater').filter(({ outputs }) => forward.has(outputs[0] ?? ''));
    expect(comparisons).toHaveLength(3);
    for (const { outputs } of comparisons) expect(readersOf(graph, outputs[0]).toSorted()).toEqual(['Cast', 'Shape']);
  });

  test.each<[string, Layer[]]>([
    ['is read elsewhere', [conv(32), relu, { kind: 'read-again' }, maxPool]],
    ['is read before its Relu', [conv(32), { kind: 'read-again' }, relu, maxPool]],
    ['has an odd size', [conv(32, 3, { pads: [1, 1, 0, 0] }), relu, maxPool]],
    ['has windows that begin before its input', [conv(32, 3, { pads: [0, 0, 0, 0] }), relu, maxPool]],
    ['has a stride', [conv(32, 3, { stride: 2 }), relu, maxPool]],
    ['has overlapping windows', [conv(32), relu, { kind: 'pool', op: 'MaxPool', kernel: 3, stride: 2, pad: 1 }]],
    ['has a mask between', [conv(32), relu, { kind: 'mask' }, maxPool]],
    ['has no Relu', [conv(32), maxPool]],
  ])('that %s stays one pool, in blocks', (_, layers) => {
    const graph = ofNetwork([16, 8, 8], ...layers);
    expect(blocked(graph, 'MaxPool')).toHaveLength(1);
    expect(named(graph, 'MaxPool')).toEqual([]);
    expect(blocked(graph, 'Conv').filter((node) => each([node], 'strides')[0] === '2,2').length).toBeLessThan(2);
  });

  test('two such pools in a row: a Relu of a pool is not the Relu before one', () => {
    const graph = ofNetwork([16, 8, 8], conv(32), relu, maxPool, relu, conv(32), relu, maxPool);
    expect(named(graph, 'MaxPool').concat(blocked(graph, 'MaxPool'))).toEqual([]);
    expect(blocked(graph, 'Conv').filter((node) => each([node], 'strides')[0] === '2,2')).toHaveLength(8);
  });
});

describe("a convolution's weights", () => {
  test('get their gradient from one convolution with a kernel of the image’s size', () => {
    const graph = ofNetwork([16, 6, 7], conv(32, 5), { kind: 'activation', op: 'Sigmoid' });
    expect(kernels(blocked(graph, 'Conv'))).toEqual(['5,5', '5,5', '6,7']);
    expect(named(graph, 'MatMul')).toEqual([]);
    expect(lowerToBlocks(trainingGraph({ input: [16, 6, 7], layers: [conv(32)] }), 16)?.recordsMultiple).toBe(16);
  });

  test('of a stride or with fewer outputs than a block keep their products', () => {
    for (const layer of [conv(32, 3, { stride: 2 }), conv(20)]) {
      const graph = trainingGraph({ input: [16, 6, 6], layers: [conv(16, 1), layer] });
      const result = lowerToBlocks(graph, 16)!;
      expect(named(result.graph, 'MatMul')).toHaveLength(9);
      expect(kernels(blocked(result.graph, 'Conv'))).toContain('6,6');
    }
  });

  test('of a graph for a number of records that the block does not divide keep their products', () => {
    for (const [records, products] of [
      [24, 9],
      [32, 0],
    ] as const) {
      const open = trainingGraph({ input: [16, 6, 6], layers: [conv(16)] });
      const graph = bindDims(open, { N: records });
      const result = lowerToBlocks(graph, 16)!;
      expect([named(result.graph, 'MatMul').length, result.recordsMultiple]).toEqual([products, 1]);
    }
  });
});

describe('what lies between convolutions', () => {
  test('stays in blocks, so that the image goes in and out once', () => {
    const graph = lowered(
      forward([16, 8, 8], (builder, x) => {
        const first = builder.add('Sigmoid', [builder.add('Conv', [x, weights(builder, 32, 16, 1, 1)])]);
        const branch = builder.add('Relu', [builder.add('Conv', [first, weights(builder, 32, 32, 1, 1)])]);
        const sum = builder.add('Add', [first, branch]);
        const half = builder.add('AveragePool', [builder.add('Mul', [sum, builder.scalar(2)])], {
          kernel_shape: ints([2, 2]),
        });
        return builder.add('Conv', [half, weights(builder, 16, 32, 1, 1)]);
      }),
    );
    expect(blocked(graph, 'ReorderInput')).toHaveLength(1);
    expect(blocked(graph, 'ReorderOutput')).toHaveLength(1);
    expect(blocked(graph, 'Conv')).toHaveLength(3);
    expect(blocked(graph, 'AveragePool')).toHaveLength(1);
  });

  test('a Relu that alone reads a convolution is part of it', () => {
    const graph = lowered(forward([16, 8, 8], (builder, x) => builder.add('Relu', [builder.add('Conv', [x, weights(builder, 16, 16, 1, 1)])]))); // prettier-ignore
    expect(named(graph, 'Relu')).toEqual([]);
    expect(blocked(graph, 'Conv')[0]?.attributes['activation']).toEqual(text('Relu'));
  });

  test('an input of fewer channels than a block is read as it is', () => {
    const graph = lowered(forward([3, 8, 8], (builder, x) => builder.add('Conv', [x, weights(builder, 16, 3, 3, 3)])));
    expect(blocked(graph, 'ReorderInput')).toEqual([]);
    expect(blocked(graph, 'Conv')[0]?.inputs[0]).toBe('x');
  });
});

test('a weight’s gradient changes the layout of its input first, then that of the output’s gradient', () => {
  const graph = ofNetwork([16, 8, 8], conv(32), relu, conv(16));
  const byImage = blocked(graph, 'Conv').filter((node) => each([node], 'kernel_shape')[0] === '8,8');
  expect(byImage).toHaveLength(2);
  for (const { inputs: [input = '', gradient = ''] } of byImage) expect(needs(graph, gradient).has(input)).toBe(true); // prettier-ignore
});

test('an output that is a copy is the value itself, wherever else that is read', () => {
  const graph = lowered(
    forward([16, 8, 8], (builder, x) => {
      const y = builder.add('Conv', [x, weights(builder, 16, 16, 1, 1)]);
      const sum = builder.add('ReduceSum', [y], { keepdims: int(0) });
      builder.output(sum, 'copied');
      return builder.add('Exp', [sum]);
    }),
  );
  // The other Identity names the output y.
  expect(named(graph, 'Identity')).toEqual([]);
  expect(graph.outputs.map(({ name }) => name)).toEqual(['copied', 'y']);
  expect(readersOf(graph, 'copied')).toEqual(['Exp']);
});

describe('left as they are', () => {
  test.each<[string, Layer]>([
    ['depthwise', conv(16, 3, { groups: 'depthwise' })],
    ['grouped', conv(32, 3, { groups: 'halves' })],
    ['with outputs that are no whole blocks', conv(20)],
  ])('a convolution that is %s stays, beside one that goes into blocks', (_, layer) => {
    const graph = trainingGraph({ input: [16, 6, 6], layers: [conv(16, 1), relu, layer] });
    const [, second] = graph.nodes.filter(({ op }) => op === 'Conv');
    expect(named(lowered(graph), 'Conv').find(({ outputs }) => outputs[0] === second?.outputs[0])).toEqual({
      ...second,
      name: expect.any(String) as string,
    });
  });

  test.each([
    ['dilation', { dilations: ints([2, 2]) }],
    ['automatic padding', { auto_pad: text('SAME_UPPER') }],
  ])('a convolution with %s', (_, attributes) => {
    const graph = forward([16, 8, 8], (builder, x) =>
      builder.add('Conv', [x, weights(builder, 16, 16, 3, 3)], attributes),
    );
    expect(lowerToBlocks(graph, 16)).toBeUndefined();
  });

  test('a graph without convolutions, and one whose channels fit no block', () => {
    const dense = forward([8], (builder, x) => builder.add('MatMul', [x, weights(builder, 8, 16)]));
    expect(lowerToBlocks(dense, 16)).toBeUndefined();
    const narrow = forward([16, 8, 8], (builder, x) => builder.add('Conv', [x, weights(builder, 8, 16, 3, 3)]));
    expect(lowerToBlocks(narrow, 16)).toBeUndefined();
    expect(lowerToBlocks(narrow, 8)).toBeDefined();
  });
});

describe('the probe', () => {
  test('tells the block from where a block’s second pixel stands', () => {
    const { x } = blockProbe();
    const inBlocks = (size: number): Float32Array => {
      const y = new Float32Array(x.length);
      for (let channel = 0; channel < 64; channel++)
        for (const pixel of [0, 1])
          y[(Math.floor(channel / size) * 2 + pixel) * size + (channel % size)] = x[2 * channel + pixel]!;
      return y;
    };
    expect([8, 16, 32].map((size) => blockFrom(inBlocks(size)))).toEqual([8, 16, undefined]);
    expect(blockFrom(x)).toBeUndefined();
  });
});

describe.skipIf(block === undefined)('a flat region (only where ONNX Runtime has blocked kernels)', () => {
  test('sends a window’s gradient to its first maximum, lowered or not', async () => {
    const graph = trainingGraph({ input: [1, 2, 4], layers: [conv(16, 3, { bias: false }), relu, maxPool] });
    const images = [
      [1, 1, 1, 1, 1, 1, 1, 1],
      [0, 2, 2, 0, 0, 2, 2, 2],
      [0, 0, 1, 2, 3, 3, 2, 1],
      [-1, -1, 0, 0, -1, -1, 0, 0],
    ];
    const expected = [
      [1, 0, 1, 0, 0, 0, 0, 0],
      [0, 1, 1, 0, 0, 0, 0, 0],
      [0, 0, 0, 1, 1, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0],
    ];
    const ones = Object.entries(feedsFor(graph, 16, 1, 'whole')).map(([name, data]) => [name, data.fill(1)] as const);
    const x = new Float32Array(16 * 8);
    for (let record = 0; record < 16; record++) x.set(images[record % 4]!, 8 * record);
    // Each of 16 channels is the image itself; each pooled value gets a gradient of 3 through the dense layer.
    const p0 = new Float32Array(16 * 9).map((_, tap) => (tap % 9 === 4 ? 1 : 0));
    for (const one of [graph, lowerToBlocks(graph, block!)!.graph]) {
      const dx = (await run(one, { ...Object.fromEntries(ones), p0, x }, 16))['d:x']!;
      for (let record = 0; record < 16; record++)
        expect(Array.from(dx.subarray(8 * record, 8 * record + 8))).toEqual(
          expected[record % 4]!.map((share) => share * 16 * 3),
        );
    }
  });
});
