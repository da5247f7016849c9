import { describe, expect, it } from 'vitest';
import { ConfigError } from '../base/index.ts';
import { namedNetwork, networkNames } from './named-network.ts';
import { type Network, parameterCount } from './network.ts';

/** The operators of a network in order, the activations' value marked. */
function layersOf(network: Network): string {
  return network.graph.nodes.map((node) => node.op + (node.outputs.includes(network.cut) ? ' |' : '')).join(' ');
}

function dimsOf(network: Network, name: string): readonly number[] | undefined {
  return network.parameters.find((parameter) => parameter.name === name)?.dims;
}

describe('named networks', () => {
  it.each([
    // Weights and biases counted by hand from the layers' sizes.
    ['lipid-mlp', {}, 7 * 50 + 50 + (50 * 30 + 30) + 31],
    ['lipid-mlp', { inputs: 4 }, 4 * 50 + 50 + (50 * 30 + 30) + 31],
    ['ct-cnn', {}, 160 + 4640 + 18_496 + (4096 * 128 + 128) + 258],
    ['ct-cnn', { size: 96, channels: 3 }, 448 + 4640 + 18_496 + (64 * 12 * 12 * 128 + 128) + 258],
    ['ct-1plus4', {}, 1280 + 295_168 + 2 * 590_080 + 1_180_160 + (2048 * 128 + 128) + 8256 + 2080 + 33],
    ['vgg19-64', {}, 84 + 20_024_384 + 2049],
    ['vgg19', {}, 84 + 20_024_384 + 7 * 7 * 512 + 1],
    ['vgg19', { size: 32, channels: 1, classes: 5 }, 30 + 20_024_384 + 5 * 513],
  ])('%s with %o has %i parameters', (name, options, count) => {
    expect(parameterCount(namedNetwork(name, options))).toBe(count);
  });

  it.each(networkNames)('%s takes x and then its parameters, and gives y', (name) => {
    const { graph, parameters, inputDims, cut, headCut } = namedNetwork(name);
    expect(graph.inputs).toEqual([
      { name: 'x', dtype: 'float32', dims: ['N', ...inputDims] },
      ...parameters.map((parameter) => ({ name: parameter.name, dtype: 'float32', dims: parameter.dims })),
    ]);
    expect(graph.outputs).toEqual([{ name: 'y', dtype: 'float32', dims: ['N', name === 'ct-cnn' ? 2 : 1] }]);
    const order = graph.nodes.flatMap((node) => node.outputs);
    expect(order.indexOf(cut)).toBeGreaterThanOrEqual(0);
    expect(order.indexOf(headCut)).toBeGreaterThan(order.indexOf(cut));
    expect(graph.nodes.slice(order.indexOf(headCut) + 1).map((node) => node.op)).toEqual(['Gemm']);
  });

  it('has the layers of the peer and of the case studies', () => {
    expect(layersOf(namedNetwork('lipid-mlp'))).toBe('Gemm LeakyRelu | Gemm LeakyRelu Gemm');
    expect(layersOf(namedNetwork('ct-cnn'))).toBe(
      'Conv Relu MaxPool | Conv Relu MaxPool Conv Relu MaxPool Flatten Gemm Relu Gemm',
    );
    expect(layersOf(namedNetwork('ct-cnn', { dropout: 0.5 }))).toBe(
      'Conv Relu MaxPool | Conv Relu MaxPool Conv Relu MaxPool Flatten Dropout Gemm Relu Dropout Gemm',
    );
    const block = 'Conv Relu MaxPool Dropout';
    expect(layersOf(namedNetwork('ct-1plus4'))).toBe(
      `Conv Relu MaxPool | ${block} ${block} ${block} ${block} Flatten Gemm Relu Gemm Relu Gemm Relu Gemm`,
    );
    const [two, four] = [2, 4].map((count) => `${'Conv Relu '.repeat(count)}MaxPool`);
    expect(layersOf(namedNetwork('vgg19'))).toBe(`Conv | ${two} ${two} ${four} ${four} ${four} Flatten Gemm`);
  });

  it('keeps the ratio of dropout as an initializer and leaves training mode out', () => {
    const { graph } = namedNetwork('ct-cnn', { dropout: 0.25 });
    const dropouts = graph.nodes.filter((node) => node.op === 'Dropout');
    expect(dropouts.map((node) => node.inputs.length)).toEqual([2, 2]);
    const ratios = dropouts.map((node) => graph.initializers.get(node.inputs[1] ?? ''));
    expect(ratios.map((ratio) => [ratio?.dtype, ratio?.dims, ratio?.data[0]])).toEqual([
      ['float32', [], 0.25],
      ['float32', [], 0.25],
    ]);
  });

  it('has the slope of the cholesterol network, 0.005', () => {
    const slopes = namedNetwork('lipid-mlp')
      .graph.nodes.filter((node) => node.op === 'LeakyRelu')
      .map((node) => node.attributes['alpha']);
    expect(slopes).toEqual([
      { kind: 'float', value: Math.fround(5e-3) },
      { kind: 'float', value: Math.fround(5e-3) },
    ]);
  });

  it('shapes parameters as PyTorch does', () => {
    const network = namedNetwork('ct-cnn');
    expect(dimsOf(network, 'conv2.weight')).toEqual([32, 16, 3, 3]);
    expect(dimsOf(network, 'conv2.bias')).toEqual([32]);
    expect(dimsOf(network, 'fc1.weight')).toEqual([128, 4096]);
  });

  it('names every network when one is not known, also for names that every object has', () => {
    for (const name of ['resnet50', 'constructor']) {
      expect(() => namedNetwork(name)).toThrow(
        expect.objectContaining({ code: 'unknown-network', message: expect.stringContaining(networkNames.join(', ')) }),
      );
    }
  });

  it('reports every wrong option at once', () => {
    const problem = problemsOf(() => namedNetwork('ct-cnn', { size: 60, channels: 0, dropout: 1, inputs: 4 }));
    expect(problem).toEqual([
      'network ct-cnn: size is 60; expected a multiple of 8',
      'network ct-cnn: channels is 0; expected an integer of 1 or more',
      'network ct-cnn: dropout is 1; expected a share from 0 to below 1',
      'network ct-cnn: inputs is not an option; it has channels, classes, size, dropout',
    ]);
    expect(problemsOf(() => namedNetwork('vgg19', { size: 0 }))).toHaveLength(1);
    expect(problemsOf(() => namedNetwork('vgg19-64', { size: 64 }))).toHaveLength(1);
    expect(problemsOf(() => namedNetwork('ct-cnn', { dropout: Number.NaN }))).toHaveLength(1);
  });
});

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}
