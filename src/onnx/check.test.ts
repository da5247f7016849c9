import { describe, expect, it } from 'vitest';
import { float32 } from '../tensor/index.ts';
import { GraphBuilder } from './builder.ts';
import { bytesOfType, checkAllowed, inferTypes, memoryBound, sizeOf, validate } from './check.ts';
import { type Graph, ints, type Node } from './graph.ts';

function network(): Graph {
  const builder = new GraphBuilder('network');
  builder.input('x', 'float32', ['N', 4]);
  builder.initializer('w', float32(Array(12).fill(1), [4, 3]));
  builder.add('MatMul', ['x', 'w'], {}, { output: 'h' });
  builder.add('Relu', ['h'], {}, { output: 'r' });
  builder.add('Exp', ['r'], {}, { output: 'y' });
  builder.output('y');
  return builder.build();
}

const node = (op: string, inputs: string[], outputs: string[], name = op): Node => ({
  op,
  domain: '',
  name,
  inputs,
  outputs,
  attributes: {},
});

describe('validate', () => {
  it('accepts what the builder built', () => {
    expect(() => validate(network())).not.toThrow();
    expect(inferTypes(network()).get('h')).toEqual({ dtype: 'float32', dims: ['N', 3] });
  });

  it.each<[string, (graph: Graph) => Partial<Graph>, RegExp]>([
    ['nodes out of order', ({ nodes }) => ({ nodes: nodes.toReversed() }), /Exp.* reads "r" before anything produces/],
    ['a value with two producers', ({ nodes }) => ({ nodes: [...nodes, node('Neg', ['x'], ['r'])] }), /"r", which is taken/],
    ['two nodes of one name', ({ nodes }) => ({ nodes: [...nodes, node('Neg', ['x'], ['z'], 'Relu')] }), /two nodes are called "Relu"/],
    ['a node without output', ({ nodes }) => ({ nodes: [...nodes, node('Neg', ['x'], [''])] }), /Neg \(Neg\) has no output/],
    ['an undeclared domain', ({ nodes }) => ({ nodes: [...nodes, { ...node('Neg', ['x'], ['z']), domain: 'constructor' }] }), /whose operator set is not declared/],
    ['an output that nothing produces', () => ({ outputs: [{ name: 'z', dtype: 'float32', dims: [] }] }), /output "z" is not produced/],
    ['no output', () => ({ outputs: [] }), /has no output/],
    ['an output of another shape', () => ({ outputs: [{ name: 'y', dtype: 'float32', dims: ['N', 4] }] }), /declared float32 \[N, 4\], but its node gives float32 \[N, 3\]/],
    ['an output of another type', () => ({ outputs: [{ name: 'y', dtype: 'float64', dims: ['N', 3] }] }), /declared float64/],
    ['an initializer named as an input', () => ({ initializers: new Map([['x', float32([1])]]) }), /"x", which is taken/],
  ])('refuses %s', (_, change, message) => {
    const graph = network();
    const changed = { ...graph, ...change(graph) };
    expect(() => validate(changed)).toThrow(message);
    expect(() => validate(changed)).toThrow(expect.objectContaining({ code: 'bad-graph' }));
  }); // prettier-ignore
});

describe('what a site allows', () => {
  const operators = new Set(['MatMul', 'Relu', 'Exp']);

  it('is held against every operator', () => {
    const bounds = { bytesMax: 1e6, symbols: { N: 8 } };
    expect(() => checkAllowed(network(), { operators, ...bounds })).not.toThrow();
    expect(() => checkAllowed(network(), { operators: new Set(['MatMul', 'Relu']), ...bounds })).toThrow(
      /node Exp is Exp, which is not among the allowed operators/,
    );
  });

  it('is held against memory: inputs and weights, and values until their last reader', () => {
    // x 8x4, w 4x3, and at most two of h, r, y (8x3 each) at once.
    expect(memoryBound(network(), { N: 8 })).toBe(4 * (32 + 12 + 24 + 24));
    expect(() => checkAllowed(network(), { operators, bytesMax: 4 * 91, symbols: { N: 8 } })).toThrow(
      /could take 368 bytes/,
    );
  });

  it('refuses a small file that asks for much', () => {
    const builder = new GraphBuilder('bomb');
    builder.input('x', 'float32', ['N']);
    builder.output(builder.add('Expand', ['x', builder.integers([2 ** 30, 2 ** 30, 2 ** 30, 1])]), 'y');
    expect(() =>
      checkAllowed(builder.build(), {
        operators: new Set(['Expand', 'Identity']),
        bytesMax: 2 ** 40,
        symbols: { N: 1 },
      }),
    ).toThrow(/could take/);
  });

  it('needs every symbol', () => {
    expect(sizeOf('6*M*N', { M: 2, N: 5 })).toBe(60);
    expect(bytesOfType({ dtype: 'float16', dims: ['N', 3] }, { N: 5 })).toBe(30);
    expect(() => sizeOf('6*M', { N: 5 })).toThrow(/"6\*M" is not known/);
    expect(() => sizeOf('constructor', {})).toThrow(/not known/);
  });
});

it('a strided convolution keeps the batch symbolic', () => {
  const builder = new GraphBuilder('conv');
  builder.input('x', 'float32', ['N', 1, 9, 9]);
  builder.input('w', 'float32', [2, 1, 3, 3]);
  builder.output(builder.add('Conv', ['x', 'w'], { strides: ints([2, 2]) }), 'y');
  expect(builder.build().outputs).toEqual([{ name: 'y', dtype: 'float32', dims: ['N', 2, 4, 4] }]);
});
