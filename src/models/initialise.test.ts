import { describe, expect, it } from 'vitest';
import { float32, type Tensor } from '../tensor/index.ts';
import { initialise } from './initialise.ts';
import { namedNetwork } from './named-network.ts';
import type { Network } from './network.ts';

function firstOf(values: Map<string, Tensor<'float32'>>, name: string): number[] {
  return Array.from(values.get(name)!.data.subarray(0, 4));
}

/** Rounded to float32, which the golden numbers are written with all digits of. */
const single = (values: number[]) => Array.from(Float32Array.from(values));

describe('initialise', () => {
  const lipid = namedNetwork('lipid-mlp');

  it('starts from the bits that another implementation of docs/RANDOM.md gives', () => {
    // golden/initialise.py computes them in plain integers from the layout that docs/RANDOM.md states.
    const start = initialise(lipid.parameters, 1);
    expect(firstOf(start, 'fc1.weight')).toEqual(
      single([0.08347124606370926, -0.06886839866638184, -0.2731700539588928, 0.26279112696647644]),
    );
    expect(firstOf(start, 'fc1.bias')).toEqual(
      single([0.1893310248851776, -0.3231881558895111, -0.30278798937797546, -0.34116214513778687]),
    );
    expect(firstOf(initialise(namedNetwork('ct-cnn').parameters, 1), 'conv2.weight')).toEqual(
      single([-0.0609578900039196, 0.01538024377077818, -0.08220189809799194, -0.027669042348861694]),
    );
    expect(
      firstOf(
        initialise(
          lipid.parameters,
          Uint8Array.from({ length: 16 }, (_, i) => i),
        ),
        'fc1.weight',
      ),
    ).toEqual(single([0.32012829184532166, -0.0903303399682045, 0.04795651137828827, -0.36532673239707947]));
  });

  it('starts VGG-19 by the normal distribution, biases at zero', () => {
    const network = namedNetwork('vgg19', { size: 32 });
    const specs = network.parameters.filter(({ name }) => name.startsWith('conv1_1.'));
    const start = initialise(specs, 1);
    // The quantile of Python's statistics module, so the last bits may differ.
    const golden = [-0.04169410094618797, -0.057128921151161194, -0.01104335580021143, -0.025168996304273605];
    firstOf(start, 'conv1_1.weight').forEach((value, index) => expect(value).toBeCloseTo(golden[index]!, 7));
    expect(start.get('conv1_1.bias')).toEqual(float32(new Float32Array(64)));
  });

  it('gives a part of the network what it gives the whole, and another seed other values', () => {
    const segment = lipid.parameters.filter(({ name }) => name.startsWith('fc1.'));
    const whole = initialise(lipid.parameters, 1);
    for (const [name, value] of initialise(segment, 1)) expect(value).toEqual(whole.get(name));
    expect(firstOf(initialise(segment, 2), 'fc1.weight')).toEqual(
      single([-0.19438473880290985, 0.3183046281337738, 0.25386810302734375, -0.17484109103679657]),
    );
  });

  it.each([
    ['ct-cnn', {}],
    ['ct-1plus4', {}],
    ['vgg19', { size: 32 }],
  ])('%s: every tensor has the spread of its rule', (name, options) => {
    const network: Network = namedNetwork(name, options);
    const start = initialise(network.parameters, 3);
    for (const { name: parameter, dims, init } of network.parameters) {
      const { data: all, dims: got } = start.get(parameter)!;
      expect(got).toEqual(dims);
      if (all.length < 1000) continue;
      const data = all.subarray(-100_000);
      const bound = boundOf(network, parameter);
      const stdDev = init.kind === 'normal' ? init.stdDev : bound / Math.sqrt(3);
      const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
      const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length;
      expect(Math.abs(mean) / stdDev).toBeLessThan(5 / Math.sqrt(data.length));
      expect(Math.abs(Math.sqrt(variance) / stdDev - 1)).toBeLessThan(5 / Math.sqrt(data.length));
      expect(init.kind === 'normal' || data.every((value) => Math.abs(value) <= bound)).toBe(true);
    }
  });

  it('copies given values and fills constants', () => {
    const given = float32([1, 2, 3, 4], [2, 2]);
    const start = initialise(
      [
        { name: 'a', dims: [2, 2], init: { kind: 'value', tensor: given } },
        { name: 'b', dims: [3], init: { kind: 'constant', value: 0.5 } },
      ],
      1,
    );
    expect(start.get('a')).toEqual(given);
    expect(start.get('a')!.data).not.toBe(given.data);
    expect(start.get('b')).toEqual(float32([0.5, 0.5, 0.5]));
  });
});

/** 1/√(inputs that meet in one output), from the weight's dimensions alone. */
function boundOf(network: Network, parameter: string): number {
  const weight = network.parameters.find(({ name }) => name === parameter.replace('.bias', '.weight'))!;
  return 1 / Math.sqrt(weight.dims.slice(1).reduce((product, dim) => product * dim, 1));
}
