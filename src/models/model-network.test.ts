import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../base/index.ts';
import {
  type Dim,
  type Graph,
  GraphBuilder,
  inferredOperators,
  int,
  ints,
  readModel,
  text,
  validate,
  writeModel,
} from '../onnx/index.ts';
import { float32, int64, type Tensor, zeros } from '../tensor/index.ts';
import { allowedModels } from './allowed-models.ts';
import { initialise } from './initialise.ts';
import { networkFromModel } from './model-network.ts';
import type { Network } from './network.ts';

const golden = new URL('../../test/golden/models/', import.meta.url);
const readGolden = (name: string) => readModel(readFileSync(new URL(`${name}.onnx`, golden)));

const layer1 = ['conv1.weight', 'norm1.weight', 'norm1.bias'];
const layer2 = ['conv2.weight', 'norm2.weight', 'norm2.bias'];
const dense = ['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias'];
const statistics = ['norm1.running_mean', 'norm1.running_var', 'norm2.running_mean', 'norm2.running_var'];

describe.each(['small-cnn', 'small-cnn-training'])('a model that PyTorch exported, %s', (file) => {
  const network = networkFromModel(readGolden(file), { cut: '/Relu_output_0' });

  it('has the parameters and running statistics of PyTorch, each layer its own', () => {
    expect(network.parameters.map(({ name }) => name).toSorted()).toEqual([...layer1, ...layer2, ...dense].toSorted());
    expect(network.statistics.map(({ name }) => name).toSorted()).toEqual(statistics);
    expect(network.graph.inputs.map(({ name }) => name)).toEqual([
      'x',
      ...network.parameters.map(({ name }) => name),
      ...network.statistics.map(({ name }) => name),
    ]);
    expect(network.inputDims).toEqual([2, 8, 8]);
    expect(network.graph.inputs[0]?.dims).toEqual(['N', 2, 8, 8]);
    expect(network.graph.outputs).toEqual([{ name: 'y', dtype: 'float32', dims: ['N', 3] }]);
    expect(() => validate(network.graph)).not.toThrow();
  });

  it('leaves constants in the graph: the input mean that is no parameter, and the numbers of Gelu', () => {
    const floats = [...network.graph.initializers.values()].filter(({ dtype }) => dtype === 'float32');
    expect(floats.map(({ data }) => data[0])).toEqual(expect.arrayContaining([Math.fround(Math.SQRT2), 1, 0.5]));
    expect(network.graph.initializers.get('mean')).toEqual(float32([0.45, 0.45], [1, 2, 1, 1]));
  });

  it('gives the logits that PyTorch gives', async () => {
    const numbers = JSON.parse(readFileSync(new URL('small-cnn.json', golden), 'utf8')) as Record<string, number[]>;
    const logits = numbers[file]!;
    const got = await forward(network, float32(numbers['image']!, [2, 2, 8, 8]));
    expect(got).toHaveLength(logits.length);
    got.forEach((value, index) => expect(value).toBeCloseTo(logits[index]!, 5));
  });

  it('says where it can be cut: not inside a residual block, not before a parameter, not after the last', () => {
    expect(problemsOf(() => networkFromModel(readGolden(file), { cut: '/conv2/Conv_output_0' }))).toEqual([
      expect.stringMatching(
        /cannot be cut at "\/conv2\/Conv_output_0"; it can at \/conv1\/Conv_output_0, \/norm1\/BatchNormalization_output_0, \/Relu_output_0, \/Add_1_output_0, \/MaxPool_output_0, \/Reshape_output_0, \/fc1\/Gemm_output_0, \/HardSwish_output_0(, \/drop\/Dropout_output_0)?$/,
      ),
    ]);
    for (const cut of ['/Sub_output_0', 'image', 'logits'])
      expect(problemsOf(() => networkFromModel(readGolden(file), { cut }))).toHaveLength(1);
  });

  it('begins the head before the last parameters unless told, and only after the cut', () => {
    expect(network.headCut).toBe(file === 'small-cnn' ? '/HardSwish_output_0' : '/drop/Dropout_output_0');
    const earlier = networkFromModel(readGolden(file), { cut: '/Relu_output_0', headCut: '/MaxPool_output_0' });
    expect(earlier.headCut).toBe('/MaxPool_output_0');
    const wrong = { cut: '/MaxPool_output_0', headCut: '/Relu_output_0' };
    expect(problemsOf(() => networkFromModel(readGolden(file), wrong)).join()).toContain('its head cannot begin at');
  });
});

describe('networkFromModel', () => {
  it('keeps dropout, in its inference form', () => {
    const { graph } = networkFromModel(readGolden('small-cnn-training'), { cut: '/Relu_output_0' });
    const dropout = graph.nodes.find((node) => node.op === 'Dropout');
    expect(dropout?.inputs).toHaveLength(2);
    expect(graph.initializers.get(dropout?.inputs[1] ?? '')?.data[0]).toBe(0.25);
    for (const node of graph.nodes.filter(({ op }) => op === 'BatchNormalization')) {
      expect(node.outputs).toHaveLength(1);
      expect(node.attributes['training_mode']).toBeUndefined();
    }
  });

  it('takes a bias of one element after MatMul as a parameter, and other single numbers as constants', () => {
    const network = networkFromModel(denseModel(), { cut: 'a' });
    expect(network.parameters.map(({ name }) => name)).toEqual(['w1', 'b1', 'w2', 'b2']);
    expect([...network.graph.initializers.keys()]).toContain('scale');
  });

  it('gives x and y to input and output also where other values have these names', async () => {
    const model = denseModel({ input: 'y', hidden: 'x' });
    const network = networkFromModel(model, { cut: 'x' });
    expect(network.graph.inputs[0]?.name).toBe('x');
    expect(network.cut).not.toBe('x');
    const input = float32([1, 2, 3, 4, 5, 6], [2, 3]);
    const plain = networkFromModel(denseModel(), { cut: 'a' });
    expect(await forward(network, input)).toEqual(await forward(plain, input));
  });

  it('gives every batch normalisation running statistics of its own', () => {
    const network = networkFromModel(sharedStatisticsModel(), { cut: 'c1' });
    const reads = network.graph.nodes.filter(({ op }) => op === 'BatchNormalization').map(({ inputs }) => inputs);
    expect(new Set(reads.flatMap((inputs) => inputs.slice(3))).size).toBe(4);
    expect(network.statistics).toHaveLength(4);
  });

  it.each<[string, Graph, string]>([
    ['ends in Softmax', denseModel({ last: 'Softmax' }), 'it ends in Softmax'],
    ['has a fixed batch', denseModel({ batch: 1 }), 'has a fixed batch of 1'],
    ['has another input', withInput(denseModel()), 'it has the inputs image, more'],
    ['has half-precision weights', withHalf(denseModel()), 'initializer half is float16'],
    ['computes a weight', computedWeightModel(), 'computes its weight'],
    ['has weights in an unknown place', unknownPlaceModel(), 'reads the float initializer table'],
  ])('refuses a model that %s', (_title, model, problem) => {
    expect(problemsOf(() => networkFromModel(model, { cut: 'a' })).join('\n')).toContain(problem);
  });

  it.each<[string, Graph, string, string]>([
    ['draws at random', graphOf('RandomUniformLike'), 'unsupported-operator', 'node n1 is RandomUniformLike'],
    ['branches', graphOf('If'), 'unsupported-operator', 'node n1 is If'],
    ['loops', graphOf('Loop'), 'unsupported-operator', 'node n1 is Loop'],
    ['brings its own code', graphOf('Evil', 'com.example'), 'unsupported-operator', 'node n1 is com.example.Evil'],
    [
      'reads operators that are Septum’s own',
      graphOf('DequantizeLinear'),
      'unsupported-operator',
      'node n1 is DequantizeLinear',
    ],
    ['is small and asks for much memory', expandingModel(), 'bad-graph', 'could take'],
  ])('refuses a model that %s', (_title, model, code, message) => {
    expect(() => networkFromModel(model, { cut: 'a' })).toThrow(
      expect.objectContaining({ name: 'EngineError', code, message: expect.stringContaining(message) }),
    );
  });

  it('allows only operators that inference knows, and not all of them', () => {
    const known = new Set(inferredOperators);
    expect([...allowedModels.operators].filter((name) => !known.has(name))).toEqual([]);
    expect(inferredOperators.filter((name) => !allowedModels.operators.has(name))).toEqual([
      'DequantizeLinear',
      'QuantizeLinear',
    ]);
  });

  it.each([
    ['elements', doublingModel((b, value) => b.add('Concat', [value, value], { axis: int(0) }))],
    ['the name of a dimension', doublingModel((b, value) => b.add('Mul', [value, value]))],
  ])('is not made to grow by a file in which %s doubles at every node', (_what, build) => {
    expect(() => build()).toThrow(expect.objectContaining({ name: 'EngineError', code: 'bad-graph' }));
  });

  it('refuses to cut between the two uses of a shared weight', () => {
    expect(problemsOf(() => networkFromModel(tiedModel(), { cut: 'a' })).join()).toContain('it can at (nowhere)');
  });
});

/** x → MatMul w1 → Add b1 → scale → a → MatMul w2 → Add b2. */
function denseModel(options: { input?: string; hidden?: string; last?: string; batch?: Dim } = {}): Graph {
  const { input = 'image', hidden = 'a', last = 'Identity', batch = 'batch' } = options;
  const b = new GraphBuilder('dense');
  b.input(input, 'float32', [batch, 3]);
  b.initializer('w1', float32([1, 2, 3, 4, 5, 6], [3, 2]));
  b.initializer('b1', float32([1, -1]));
  b.initializer('scale', float32([0.5], [1]));
  b.initializer('w2', float32([1, 2], [2, 1]));
  b.initializer('b2', float32([3]));
  const first = b.add('Add', [b.add('MatMul', [input, 'w1']), 'b1']);
  b.add('Mul', [first, 'scale'], {}, { output: hidden });
  const logits = b.add('Add', [b.add('MatMul', [hidden, 'w2']), 'b2']);
  b.output(b.add(last, [logits], {}, { output: 'logits' }));
  return b.build();
}

/** A graph with one node of that operator, as a file may hold it. */
function graphOf(op: string, domain = ''): Graph {
  const b = new GraphBuilder('foreign');
  b.input('x', 'float32', ['N', 2]);
  b.initializer('w', float32([1, 2, 3, 4], [2, 2]));
  b.output(b.add('MatMul', ['x', 'w'], {}, { output: 'a' }));
  const graph = b.build();
  const node = { op, domain, name: 'n1', inputs: ['a'], outputs: ['b'], attributes: {} };
  return { ...graph, nodes: [...graph.nodes, node] };
}

/** x → MatMul w → a → expanded to 2^40 numbers and summed again → MatMul v. */
function expandingModel(): Graph {
  const b = new GraphBuilder('expanding');
  b.input('x', 'float32', ['N', 2]);
  b.initializer('w', float32([1, 2, 3, 4], [2, 2]));
  b.initializer('v', float32([1, 2], [2, 1]));
  b.add('MatMul', ['x', 'w'], {}, { output: 'a' });
  const large = b.add('Expand', ['a', b.integers([2 ** 20, 2 ** 20, 1, 2])]);
  const sum = b.add('ReduceSum', [large, b.integers([0, 1])], { keepdims: int(0) });
  b.output(b.add('MatMul', [sum, 'v']));
  return b.build();
}

/** A shape of which each node makes twice as much. */
function doublingModel(twice: (b: GraphBuilder, value: string) => string): () => Graph {
  return () => {
    const b = new GraphBuilder('doubling');
    b.input('x', 'float32', ['N', 'M']);
    let value = b.add('Shape', ['x']);
    for (let node = 0; node < 60; node++) value = twice(b, value);
    b.output(b.add('Expand', ['x', value]));
    return b.build();
  };
}

function withInput(graph: Graph): Graph {
  return { ...graph, inputs: [...graph.inputs, { name: 'more', dtype: 'float32', dims: ['batch', 1] }] };
}

function withHalf(graph: Graph): Graph {
  return { ...graph, initializers: new Map([...graph.initializers, ['half', zeros('float16', [2])]]) };
}

function computedWeightModel(): Graph {
  const b = new GraphBuilder('computed');
  b.input('x', 'float32', ['N', 2]);
  const weight = b.add('Mul', [b.initializer('g', float32([1, 2])), b.initializer('v', float32([1, 2, 3, 4], [2, 2]))]);
  b.output(b.add('MatMul', ['x', weight], {}, { output: 'a' }));
  return b.build();
}

function unknownPlaceModel(): Graph {
  const b = new GraphBuilder('unknown');
  b.input('x', 'float32', ['N', 2]);
  b.initializer('table', float32([1, 2, 3, 4]));
  const picked = b.add('Gather', ['table', b.constant(int64([0, 1]))]);
  b.output(b.add('Add', ['x', picked], {}, { output: 'a' }));
  return b.build();
}

function tiedModel(): Graph {
  const b = new GraphBuilder('tied');
  b.input('x', 'float32', ['N', 2]);
  b.initializer('w', float32([1, 2, 3, 4], [2, 2]));
  b.add('MatMul', ['x', 'w'], {}, { output: 'a' });
  b.output(b.add('MatMul', ['a', 'w'], {}, { output: 'b' }));
  return b.build();
}

function sharedStatisticsModel(): Graph {
  const b = new GraphBuilder('shared');
  b.input('x', 'float32', ['N', 2, 4, 4]);
  const names = ['gamma1', 'beta1', 'gamma2', 'beta2', 'mean', 'variance'];
  for (const name of names) b.initializer(name, float32([1, 1]));
  for (const name of ['w1', 'w2']) b.initializer(name, float32(new Float32Array(4), [2, 2, 1, 1]));
  const attributes = { kernel_shape: ints([1, 1]), auto_pad: text('NOTSET'), group: int(1) };
  b.add('Conv', ['x', 'w1'], attributes, { output: 'c1' });
  const first = b.add('BatchNormalization', ['c1', 'gamma1', 'beta1', 'mean', 'variance']);
  const second = b.add('Conv', [first, 'w2'], attributes);
  const normalized = b.add('BatchNormalization', [second, 'gamma2', 'beta2', 'mean', 'variance']);
  b.output(b.add('Flatten', [normalized]));
  return b.build();
}

async function forward(network: Network, input: Tensor<'float32'>): Promise<number[]> {
  const session = await ort.InferenceSession.create(writeModel(network.graph));
  const values = initialise([...network.parameters, ...network.statistics], 1).set('x', input);
  const feeds = [...values].map(([name, { data, dims }]) => [name, new ort.Tensor('float32', data, dims)] as const);
  const { y } = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Array.from(y!.data as Float32Array);
}

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}
