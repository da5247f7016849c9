// Gradients against PyTorch's own numbers (test/golden/torch), where a convention could differ.

import { describe, expect, it } from 'vitest';
import { expectGolden, readGolden, type WithGradients } from '../../test/golden/torch/golden.ts';
import { float, GraphBuilder, int, ints, text, type Attribute } from '../onnx/index.ts';

interface Pool extends WithGradients {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly ceil: boolean;
}

interface Golden {
  readonly maxPools: readonly (Pool & { readonly dilation: number; readonly relu: boolean })[];
  readonly averagePools: readonly (Pool & { readonly includePad: boolean })[];
  readonly activations: readonly ({ readonly name: string } & WithGradients)[];
  readonly norms: readonly ({ readonly name: string; readonly groups?: number } & WithGradients)[];
  readonly convolutions: readonly ({
    readonly stride: number;
    readonly padding: number;
    readonly dilation: number;
    readonly groups: number;
  } & WithGradients)[];
}

const golden = readGolden<Golden>('golden.json');
const twice = (value: number): Attribute => ints([value, value]);
const around = (value: number): Attribute => ints([value, value, value, value]);

function poolAttributes({ kernel, stride, padding, ceil }: Pool): Record<string, Attribute> {
  return {
    kernel_shape: twice(kernel),
    strides: twice(stride),
    pads: around(padding),
    ceil_mode: int(ceil ? 1 : 0),
  };
}

describe('max pooling sends the gradient to the first maximum, as PyTorch', () => {
  it.each(golden.maxPools)(
    'kernel $kernel, stride $stride, padding $padding, dilation $dilation, ceil $ceil, after a Relu: $relu',
    async (pool) => {
      const builder = new GraphBuilder('max-pool');
      await expectGolden(
        builder,
        pool,
        ([x]) => {
          const input = pool.relu ? builder.add('Relu', [x!]) : x!;
          return builder.add('MaxPool', [input], { ...poolAttributes(pool), dilations: twice(pool.dilation) });
        },
        1e-6,
      );
    },
  );

  it('the stored windows do tie', () => {
    const { inputs, gradients } = golden.maxPools[0]!;
    const routed = gradients[0]!.data.filter((value) => value !== 0).length;
    const distinct = new Set(inputs[0]!.data).size;
    expect(distinct).toBeLessThanOrEqual(3);
    expect(routed).toBeLessThanOrEqual(inputs[0]!.data.length / 4);
  });
});

describe('average pooling divides as PyTorch', () => {
  it.each(golden.averagePools)(
    'kernel $kernel, stride $stride, padding $padding, ceil $ceil, include padding: $includePad',
    async (pool) => {
      const builder = new GraphBuilder('average-pool');
      const attributes = { ...poolAttributes(pool), count_include_pad: int(pool.includePad ? 1 : 0) };
      await expectGolden(builder, pool, (inputs) => builder.add('AveragePool', inputs, attributes), 1e-6);
    },
  );
});

describe('activations at corners and far out are PyTorch’s', () => {
  it.each(golden.activations)('$name', async (activation) => {
    const builder = new GraphBuilder('activation');
    const [op, approximate] = activation.name.split(' ') as [string, string?];
    const attributes: Record<string, Attribute> = {
      ...(approximate !== undefined && { approximate: text(approximate) }),
      ...(op === 'LeakyRelu' && { alpha: float(0.1) }),
    };
    const bounds = op === 'Clip' ? [builder.scalar(-3), builder.scalar(2.5)] : [];
    await expectGolden(builder, activation, ([x]) => builder.add(op, [x!, ...bounds], attributes), 3e-6);
  });
});

describe('normalisations are PyTorch’s', () => {
  it.each(golden.norms)('$name', async (norm) => {
    const builder = new GraphBuilder('norm');
    const attributes: Record<string, Attribute> = {
      ...(norm.groups !== undefined && { num_groups: int(norm.groups) }),
      ...(norm.name === 'LayerNormalization' && { axis: int(2) }),
    };
    await expectGolden(builder, norm, (inputs) => builder.add(norm.name, inputs, attributes), 3e-6);
  });
});

describe('convolutions are PyTorch’s', () => {
  it.each(golden.convolutions)('stride $stride, padding $padding, dilation $dilation, groups $groups', async (each) => {
    const builder = new GraphBuilder('convolution');
    const attributes = {
      strides: twice(each.stride),
      pads: around(each.padding),
      dilations: twice(each.dilation),
      group: int(each.groups),
    };
    await expectGolden(builder, each, (inputs) => builder.add('Conv', inputs, attributes), 3e-6);
  });
});
