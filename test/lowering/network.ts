// Small image networks as lists of layers, and their training graphs: what a lowering is tried on.

import { differentiate } from '../../src/autodiff/index.ts';
import { builderOf, float, type Graph, GraphBuilder, int, ints } from '../../src/onnx/index.ts';

export type Layer =
  | {
      readonly kind: 'conv';
      readonly out: number;
      readonly kernel: number;
      readonly stride: number;
      /** Top, left, bottom, right. */
      readonly pads: readonly number[];
      readonly bias: boolean;
      /** `depthwise`: one group a channel, `out` is not used; `halves`: two groups where the channels allow it. */
      readonly groups: 'one' | 'halves' | 'depthwise';
    }
  | { readonly kind: 'activation'; readonly op: 'Relu' | 'LeakyRelu' | 'Sigmoid' }
  | {
      readonly kind: 'pool';
      readonly op: 'MaxPool' | 'AveragePool';
      readonly kernel: number;
      readonly stride: number;
      readonly pad: number;
    }
  /** The value plus a convolution of it. */
  | { readonly kind: 'residual' }
  /** Two convolutions with the same weights. */
  | { readonly kind: 'shared' }
  /** Each channel times a number that follows from all channels' maxima. */
  | { readonly kind: 'squeeze' }
  /** The value within -2 and 3. */
  | { readonly kind: 'clip' }
  /** The value times an input of its shape, as dropout does. */
  | { readonly kind: 'mask' }
  /** The value is put out as well, and a gradient comes in there. */
  | { readonly kind: 'read-again' };

export interface Network {
  /** Channels, height, width. */
  readonly input: readonly [number, number, number];
  readonly layers: readonly Layer[];
  /** Gradients of parameters are added up over records in float64. */
  readonly inDouble?: boolean;
}

/** A convolution of stride 1 with a bias whose output has its input's size; `more` changes it. */
export function conv(out: number, kernel = 3, more: Partial<Extract<Layer, { kind: 'conv' }>> = {}): Layer {
  const pad = (kernel - 1) / 2;
  return { kind: 'conv', out, kernel, stride: 1, pads: [pad, pad, pad, pad], bias: true, groups: 'one', ...more };
}

export const relu: Layer = { kind: 'activation', op: 'Relu' };
export const maxPool: Layer = { kind: 'pool', op: 'MaxPool', kernel: 2, stride: 2, pad: 0 };

/**
 * The training graph: x [N, …input] and parameters `p0`, `p1`, … in; y [N, 3] after a dense layer and `d:NAME` of x and of each parameter
 * out, for the gradient `dy` of y. A layer that its input is too small for is left out.
 */
export function trainingGraph({ input, layers, inDouble = false }: Network): Graph {
  const builder = new GraphBuilder('network');
  const parameters: string[] = [];
  const parameter = (dims: readonly number[]): string => {
    const name = builder.input(`p${parameters.length}`, 'float32', dims);
    parameters.push(name);
    return name;
  };
  const seeds = new Map<string, string>();
  let value = builder.input('x', 'float32', ['N', ...input]);
  for (const layer of layers) value = addLayer(builder, layer, value, { parameter, seeds });
  const flat = builder.add('Flatten', [value]);
  const width = builder.dimsOf(flat)[1] as number;
  const y = builder.add('Gemm', [flat, parameter([3, width]), parameter([3])], { transB: int(1) });
  seeds.set(y, builder.input('dy', 'float32', ['N', 3]));
  const gradients = differentiate(builder, seeds, ['x', ...parameters], new Set(inDouble ? parameters : []));
  builder.output(y, 'y');
  for (const seeded of seeds.keys()) if (seeded !== y) builder.output(seeded);
  for (const [name, gradient] of gradients) builder.output(gradient, `d:${name}`);
  return builder.build({ prune: true });
}

/** A training step: y and the gradient of x for each record, each parameter after a step along its gradient as `NAME.next`. */
export function stepGraph(network: Network): Graph {
  const whole = trainingGraph(network);
  const builder = builderOf(whole);
  for (const name of ['y', 'd:x']) builder.output(name);
  for (const { name } of whole.inputs.filter((input) => /^p\d+$/.test(input.name)))
    builder.output(
      builder.add('Sub', [name, builder.add('Mul', [`d:${name}`, builder.scalar(0.125)])]),
      `${name}.next`,
    );
  return builder.build({ prune: true });
}

interface Training {
  readonly parameter: (dims: readonly number[]) => string;
  /** Value → the input that is its gradient. */
  readonly seeds: Map<string, string>;
}

function addLayer(builder: GraphBuilder, layer: Layer, value: string, { parameter, seeds }: Training): string {
  const [, channels, height, width] = builder.dimsOf(value) as [string, number, number, number];
  switch (layer.kind) {
    case 'conv': {
      const { kernel, stride, pads, groups } = layer;
      const [top = 0, left = 0, bottom = 0, right = 0] = pads;
      if (height + top + bottom < kernel || width + left + right < kernel) return value;
      const out = groups === 'depthwise' ? channels : layer.out;
      const group = groups === 'depthwise' ? channels : groups === 'halves' && channels % 2 + (out % 2) === 0 ? 2 : 1; // prettier-ignore
      const weights = parameter([out, channels / group, kernel, kernel]);
      const inputs = layer.bias ? [value, weights, parameter([out])] : [value, weights];
      const attributes = { pads: ints(pads), strides: ints([stride, stride]), group: int(group) };
      return builder.add('Conv', inputs, attributes);
    }
    case 'activation':
      return builder.add(layer.op, [value], layer.op === 'LeakyRelu' ? { alpha: float(0.5) } : {});
    case 'pool': {
      const { op, kernel, stride, pad } = layer;
      if (Math.min(height, width) + 2 * pad < kernel) return value;
      return builder.add(op, [value], {
        kernel_shape: ints([kernel, kernel]),
        strides: ints([stride, stride]),
        pads: ints([pad, pad, pad, pad]),
      });
    }
    case 'residual': {
      const weights = parameter([channels, channels, 3, 3]);
      return builder.add('Add', [value, builder.add('Conv', [value, weights], { pads: ints([1, 1, 1, 1]) })]);
    }
    case 'shared': {
      const inputs = [parameter([channels, channels, 3, 3]), parameter([channels])];
      const once = builder.add('Conv', [value, ...inputs], { pads: ints([1, 1, 1, 1]) });
      return builder.add('Conv', [builder.add('Relu', [once]), ...inputs], { pads: ints([1, 1, 1, 1]) });
    }
    case 'squeeze': {
      const weights = parameter([channels, channels, 1, 1]);
      const gate = builder.add('Conv', [builder.add('GlobalMaxPool', [value]), weights]);
      return builder.add('Mul', [value, builder.add('Clip', [gate, builder.scalar(0), builder.scalar(1)])]);
    }
    case 'clip':
      return builder.add('Clip', [value, builder.scalar(-2), builder.scalar(3)]);
    case 'mask':
      return builder.add('Mul', [value, builder.input(builder.fresh('mask'), 'float32', builder.dimsOf(value))]);
    case 'read-again':
      if (value !== 'x' && !seeds.has(value))
        seeds.set(value, builder.input(`d_${value}`, 'float32', builder.dimsOf(value)));
      return value;
  }
}
