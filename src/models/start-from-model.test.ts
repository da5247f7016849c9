import { describe, expect, it } from 'vitest';
import type { Graph } from '../onnx/index.ts';
import { float32, type Tensor } from '../tensor/index.ts';
import { initialise } from './initialise.ts';
import { namedNetwork } from './named-network.ts';
import { startFromModel } from './start-from-model.ts';

const network = namedNetwork('lipid-mlp', { inputs: 4 });

function modelOf(initializers: ReadonlyMap<string, Tensor>): Graph {
  return { ...network.graph, name: 'earlier', initializers };
}

describe('startFromModel', () => {
  it('starts every parameter from the file, whatever the seed', () => {
    const earlier = initialise(network.parameters, 5);
    const started = startFromModel(network, modelOf(earlier));
    expect(initialise(started.parameters, 1)).toEqual(earlier);
    expect(started.graph).toBe(network.graph);
  });

  it('leaves the others to the seed when it is told that the file has a part', () => {
    const earlier = initialise(network.parameters, 5);
    const trunk = new Map([...earlier].filter(([name]) => !name.startsWith('fc1.')));
    const started = initialise(startFromModel(network, modelOf(trunk), { partial: true }).parameters, 1);
    expect(started.get('fc2.weight')).toEqual(earlier.get('fc2.weight'));
    expect(started.get('fc1.weight')).toEqual(initialise(network.parameters, 1).get('fc1.weight'));
  });

  it('lists everything that is missing or does not fit', () => {
    const earlier = new Map<string, Tensor>(initialise(network.parameters, 5));
    earlier.delete('fc1.bias');
    earlier.set('fc2.weight', float32(new Float32Array(12), [3, 4]));
    expect(() => startFromModel(network, modelOf(earlier))).toThrow(
      expect.objectContaining({
        code: 'bad-study',
        problems: [
          expect.stringContaining('fc1.bias is missing'),
          expect.stringContaining('fc2.weight is float32 [3, 4]; expected float32 [30, 50]'),
        ],
      }),
    );
    const other = modelOf(new Map([['features.0.weight', float32([1])]]));
    expect(() => startFromModel(network, other, { partial: true })).toThrow('no initializer');
  });
});
