import { describe, expect, it } from 'vitest';
import { openOnRuntime, runOnRuntime } from '../../test/interpreter/on-runtime.ts';
import { uniformFrom } from '../../test/interpreter/scenario.ts';
import { f64, type F64Tensor } from '../../test/interpreter/values.ts';
import { type Attribute, type Graph, GraphBuilder, int, ints } from '../onnx/index.ts';
import { elementCount } from '../tensor/index.ts';
import { differentiate } from './differentiate.ts';
import { ruledOperators } from './rules/table.ts';

/** dw and db of y = op(x, w) + b over a batch, seeded at y; w and b in float64 sums or not. */
function layerGradients(layer: Layer, inDouble: boolean): Graph {
  const builder = new GraphBuilder('layer');
  const x = builder.input('x', 'float32', ['N', ...layer.input]);
  const w = builder.input('w', 'float32', layer.weights);
  const b = builder.input('b', 'float32', layer.bias);
  const y = builder.add('Add', [builder.add(layer.op, [x, w], layer.attributes), b]);
  const seed = builder.input('seed', 'float32', builder.dimsOf(y));
  const gradients = differentiate(builder, new Map([[y, seed]]), [w, b], new Set(inDouble ? [w, b] : []));
  builder.output(gradients.get(w)!, 'dw');
  builder.output(gradients.get(b)!, 'db');
  return builder.build({ prune: true });
}

interface Layer {
  readonly op: string;
  readonly input: readonly number[];
  readonly weights: readonly number[];
  readonly bias: readonly number[];
  readonly output: readonly number[];
  readonly attributes?: Record<string, Attribute>;
}

const layers: Layer[] = [
  {
    op: 'Conv',
    input: [1, 20, 20],
    weights: [6, 1, 3, 3],
    bias: [6, 1, 1],
    output: [6, 10, 10],
    attributes: { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]), kernel_shape: ints([3, 3]) },
  },
  {
    op: 'Conv',
    input: [8, 12, 12],
    weights: [5, 8, 3, 3],
    bias: [5, 1, 1],
    output: [5, 12, 12],
    attributes: { pads: ints([1, 1, 1, 1]), kernel_shape: ints([3, 3]) },
  },
  { op: 'Gemm', input: [30], weights: [30, 20], bias: [20], output: [20] },
  { op: 'MatMul', input: [7, 30], weights: [30, 20], bias: [20], output: [7, 20] },
];

describe('gradients added up in float64', () => {
  const batch = 29;
  const parts = [batch - 12, 11, 1];

  it.each(layers)('have for $op of $input the bits of the whole batch when its parts are added', async (layer) => {
    const uniform = uniformFrom(7);
    const numbers = (dims: readonly number[]) =>
      f64(
        dims,
        Float64Array.from({ length: elementCount(dims) }, () => uniform() - 0.3),
      );
    const fixed = { w: numbers(layer.weights), b: numbers(layer.bias) };
    const [x, seed] = [numbers([batch, ...layer.input]), numbers([batch, ...layer.output])];
    const rows = (value: F64Tensor, from: number, count: number) => {
      const width = value.data.length / batch;
      return f64([count, ...value.dims.slice(1)], value.data.slice(from * width, (from + count) * width));
    };
    const sums = async (inDouble: boolean): Promise<{ whole: number[]; added: number[] }> => {
      await using graph = await openOnRuntime(layerGradients(layer, inDouble));
      const flat = ({ dw, db }: Record<string, F64Tensor>) => [...dw!.data, ...db!.data];
      const whole = flat(await graph.run({ ...fixed, x, seed }));
      let added = whole.map(() => 0);
      let from = 0;
      for (const count of parts) {
        const own = flat(await graph.run({ ...fixed, x: rows(x, from, count), seed: rows(seed, from, count) }));
        added = added.map((sum, index) => sum + own[index]!);
        from += count;
      }
      return { whole: whole.map(Math.fround), added: added.map(Math.fround) };
    };
    const { whole, added } = await sums(true);
    expect(added).toEqual(whole);
    // Where they are added up in float32, some differ.
    const plain = await sums(false);
    expect(plain.added).not.toEqual(plain.whole);
    expect(Math.max(...plain.whole.map((value, index) => Math.abs(value - whole[index]!)))).toBeLessThan(1e-3);
  });
});

describe('differentiate', () => {
  it('adds up the gradients of a value that is used several times', async () => {
    const builder = new GraphBuilder('square');
    const x = builder.input('x', 'float32', ['N']);
    const cube = builder.add('Mul', [builder.add('Mul', [x, x]), x]);
    const y = builder.add('Add', [cube, x]);
    const seed = builder.input('seed', 'float32', ['N']);
    builder.output(differentiate(builder, new Map([[y, seed]]), [x]).get(x)!, 'dx');
    const feeds = {
      x: { dims: [3], data: Float64Array.of(1, 2, -3) },
      seed: { dims: [3], data: Float64Array.of(1, 1, 2) },
    };
    const got = await runOnRuntime(builder.build({ prune: true }), feeds);
    expect([...got['dx']!.data]).toEqual([4, 13, 56]);
  });

  it('gives the total gradient of a value between, and of several seeds together', async () => {
    const builder = new GraphBuilder('between');
    builder.input('x', 'float32', ['N', 2]);
    const middle = builder.add('Relu', ['x'], {}, { output: 'middle' });
    const a = builder.add('Mul', [middle, builder.scalar(3)]);
    const b = builder.add('Mul', [middle, builder.scalar(5)]);
    const ones = builder.input('ones', 'float32', ['N', 2]);
    const seeds = new Map([a, b].map((value) => [value, ones]));
    const gradients = differentiate(builder, seeds, ['middle', 'x']);
    builder.output(gradients.get('middle')!, 'dmiddle');
    builder.output(gradients.get('x')!, 'dx');
    const feeds = {
      x: { dims: [1, 2], data: Float64Array.of(-1, 1) },
      ones: { dims: [1, 2], data: Float64Array.of(1, 1) },
    };
    const got = await runOnRuntime(builder.build({ prune: true }), feeds);
    expect([...got['dmiddle']!.data]).toEqual([8, 8]);
    expect([...got['dx']!.data]).toEqual([0, 8]);
  });

  it('keeps the gradient of a Relu whose own gradient was asked for, though the pool after it could pass it by', async () => {
    const builder = new GraphBuilder('pooled');
    builder.input('x', 'float32', [1, 1, 2, 2]);
    const middle = builder.add('Relu', ['x']);
    const pool = { kernel_shape: { kind: 'ints' as const, value: [2, 2] } };
    const y = builder.add('MaxPool', [middle], pool);
    const seed = builder.input('seed', 'float32', [1, 1, 1, 1]);
    const gradients = differentiate(builder, new Map([[y, seed]]), [middle, 'x']);
    builder.output(gradients.get(middle)!, 'dmiddle');
    builder.output(gradients.get('x')!, 'dx');
    const feeds = {
      x: { dims: [1, 1, 2, 2], data: Float64Array.of(-1, 2, 0, 2) },
      seed: { dims: [1, 1, 1, 1], data: Float64Array.of(7) },
    };
    const got = await runOnRuntime(builder.build({ prune: true }), feeds);
    expect([...got['dmiddle']!.data]).toEqual([0, 7, 0, 0]);
    expect([...got['dx']!.data]).toEqual([0, 7, 0, 0]);
  });

  it('gives zeros for a value that no seed depends on, also through whole numbers', async () => {
    const builder = new GraphBuilder('unrelated');
    const x = builder.input('x', 'float32', ['N', 2]);
    const z = builder.input('z', 'float32', ['N', 3]);
    const whole = builder.add('Cast', [builder.add('Cast', [z], { to: int(7) })], { to: int(1) });
    const y = builder.add('Mul', [x, builder.add('ReduceSum', [whole, builder.integers([1])])]);
    const seed = builder.input('seed', 'float32', ['N', 2]);
    builder.output(differentiate(builder, new Map([[y, seed]]), [x, z]).get(z)!, 'dz');
    const feeds = {
      x: { dims: [2, 2], data: Float64Array.of(1, 2, 3, 4) },
      z: { dims: [2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) },
      seed: { dims: [2, 2], data: Float64Array.of(1, 1, 1, 1) },
    };
    const graph = builder.build({ prune: true });
    const got = await runOnRuntime(graph, feeds);
    expect(got['dz']!.dims).toEqual([2, 3]);
    expect([...got['dz']!.data]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('adds nothing for what does not lead to a wanted gradient', () => {
    const builder = new GraphBuilder('frozen');
    builder.input('x', 'float32', ['N', 3]);
    builder.input('w', 'float32', [3, 2]);
    builder.input('b', 'float32', [2]);
    const y = builder.add('Gemm', ['x', 'w', 'b']);
    const seed = builder.input('seed', 'float32', ['N', 2]);
    const before = builder.nodes.length;
    differentiate(builder, new Map([[y, seed]]), ['b']);
    expect(builder.nodes.slice(before).map(({ op }) => op)).toEqual(['ReduceSum']);
  });

  it('an operator without a rule is an error that names operator, node and a way out', () => {
    const builder = new GraphBuilder('unruled');
    builder.input('x', 'float32', ['N', 3]);
    builder.addNode({
      op: 'CumSum',
      domain: '',
      name: 'totals',
      inputs: ['x', builder.integers([1])],
      outputs: ['y'],
      attributes: {},
    });
    const seed = builder.input('seed', 'float32', ['N', 3]);
    expect(ruledOperators).not.toContain('CumSum');
    expect(() => differentiate(builder, new Map([['y', seed]]), ['x'])).toThrow(
      expect.objectContaining({
        code: 'no-gradient-rule',
        message: expect.stringMatching(/totals \(CumSum\).*replace the node/),
      }),
    );
  });

  it('an operator without a rule does no harm where no gradient is wanted', () => {
    const builder = new GraphBuilder('aside');
    builder.input('x', 'float32', ['N', 3]);
    builder.input('w', 'float32', [3]);
    const y = builder.add('Mul', [builder.add('CumSum', ['x', builder.integers([1])]), 'w']);
    const seed = builder.input('seed', 'float32', ['N', 3]);
    expect([...differentiate(builder, new Map([[y, seed]]), ['w']).keys()]).toEqual(['w']);
  });

  it('refuses gradients of whole numbers and seeds of another shape', () => {
    const builder = new GraphBuilder('bad');
    builder.input('x', 'float32', ['N']);
    builder.input('k', 'int64', ['N']);
    builder.input('seed', 'float32', ['N', 1]);
    expect(() => differentiate(builder, new Map(), ['k'])).toThrow(/"k" is int64/);
    expect(() => differentiate(builder, new Map([['x', 'seed']]), ['x'])).toThrow(
      /must be \[N\], but "seed" is \[N, 1\]/,
    );
  });
});
