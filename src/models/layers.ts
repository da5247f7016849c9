// Writes a network of consecutive layers as a Network. Each layer's value is called after the layer (`conv1`, `conv1.relu`,
// `conv1.pool`), its parameters `conv1.weight` and `conv1.bias`, so that a study file can name a cut.

import { assert } from '../base/index.ts';
import { float, GraphBuilder, int, ints, type Attribute } from '../onnx/index.ts';
import type { Initialiser, Network, ParameterSpec } from './network.ts';

/** What a layer's weight and bias start from, given the number of inputs and outputs that meet in one weight. */
export type Start = (fanIn: number, fanOut: number) => { readonly weight: Initialiser; readonly bias: Initialiser };

/** PyTorch's default for convolutions and dense layers: weight and bias from U(-1/√fanIn, 1/√fanIn), which is He's uniform with a = √5. */
export const pytorchStart: Start = (fanIn) => {
  const init = { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) } as const;
  return { weight: init, bias: init };
};

/** He et al. 2015, keeping the variance of the gradient: weights from N(0, 2/fanOut), no bias. It lets a deep chain of ReLUs learn from nothing. */
export const heStart: Start = (_fanIn, fanOut) => ({
  weight: { kind: 'normal', stdDev: Math.sqrt(2 / fanOut) },
  bias: { kind: 'constant', value: 0 },
});

/** Adds layers one after the other to a graph whose input is `x`, float32 `[N, ...inputDims]`. */
export class Layers {
  readonly #name: string;
  readonly #inputDims: readonly number[];
  readonly #builder: GraphBuilder;
  readonly #parameters: ParameterSpec[] = [];
  #dims: readonly number[];
  #last: string;
  #dropouts = 0;

  constructor(name: string, inputDims: readonly number[]) {
    this.#name = name;
    this.#inputDims = inputDims;
    this.#builder = new GraphBuilder(name);
    this.#dims = inputDims;
    this.#last = this.#builder.input('x', 'float32', ['N', ...inputDims]);
  }

  /** The name of the value that the last layer gave. */
  get last(): string {
    return this.#last;
  }

  /** Convolution of 3 x 3 with stride 1 that keeps height and width, weight `[filters, channels, 3, 3]`. */
  conv(layer: string, filters: number, start: Start = pytorchStart): this {
    const [channels, height, width] = this.#image();
    const { weight, bias } = start(channels * 9, filters * 9);
    const inputs = [
      this.#last,
      this.#parameter(`${layer}.weight`, [filters, channels, 3, 3], weight),
      this.#parameter(`${layer}.bias`, [filters], bias),
    ];
    const attributes = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), strides: ints([1, 1]) };
    return this.#add(layer, 'Conv', inputs, attributes, [filters, height, width]);
  }

  /** Dense layer, weight `[outputs, inputs]` as PyTorch keeps it. */
  dense(layer: string, outputs: number, start: Start = pytorchStart): this {
    return this.#dense(layer, outputs, start, layer);
  }

  relu(): this {
    return this.#add(`${this.#last}.relu`, 'Relu', [this.#last], {}, this.#dims);
  }

  /** Leaky ReLU with `slope` below zero. */
  leakyRelu(slope: number): this {
    return this.#add(`${this.#last}.leaky`, 'LeakyRelu', [this.#last], { alpha: float(slope) }, this.#dims);
  }

  /** Largest of each window of 2 x 2. Called `conv1.pool` after `conv1` or `conv1.relu`. */
  maxPool(): this {
    const [channels, height, width] = this.#image();
    assert(height % 2 === 0 && width % 2 === 0, `${this.#name}: cannot halve ${height} x ${width}`);
    const attributes = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };
    const name = `${this.#last.replace(/\.relu$/, '')}.pool`;
    return this.#add(name, 'MaxPool', [this.#last], attributes, [channels, height / 2, width / 2]);
  }

  flatten(): this {
    const length = this.#dims.reduce((product, dim) => product * dim, 1);
    return this.#add('flat', 'Flatten', [this.#last], { axis: int(1) }, [length]);
  }

  /** Dropout of `ratio` of the elements in training; no layer at all when the ratio is 0. */
  dropout(ratio: number): this {
    if (ratio === 0) return this;
    const inputs = [this.#last, this.#builder.scalar(ratio)];
    return this.#add(`dropout${++this.#dropouts}`, 'Dropout', inputs, {}, this.#dims);
  }

  /** Ends the network with a dense layer, whose value is `y`, and gives it, cut at the two named values. */
  finish(layer: string, outputs: number, cut: string, headCut: string, start: Start = pytorchStart): Network {
    this.#dense(layer, outputs, start, 'y');
    this.#builder.output('y');
    const graph = this.#builder.build();
    const known = new Set(graph.nodes.flatMap((node) => node.outputs));
    assert(known.has(cut) && known.has(headCut), `${this.#name}: no value ${cut} or ${headCut} to cut at`);
    return {
      name: this.#name,
      graph,
      parameters: this.#parameters,
      statistics: [],
      inputDims: this.#inputDims,
      cut,
      headCut,
    };
  }

  #dense(layer: string, outputs: number, start: Start, value: string): this {
    const [inputCount] = this.#dims;
    assert(inputCount !== undefined && this.#dims.length === 1, `${this.#name}: ${layer} needs flat records`);
    const { weight, bias } = start(inputCount, outputs);
    const inputs = [
      this.#last,
      this.#parameter(`${layer}.weight`, [outputs, inputCount], weight),
      this.#parameter(`${layer}.bias`, [outputs], bias),
    ];
    return this.#add(layer, 'Gemm', inputs, { transB: int(1) }, [outputs], value);
  }

  #image(): [channels: number, height: number, width: number] {
    const [channels, height, width] = this.#dims;
    assert(
      channels !== undefined && height !== undefined && width !== undefined && this.#dims.length === 3,
      `${this.#name}: an image layer after [${this.#dims.join(', ')}]`,
    );
    return [channels, height, width];
  }

  #parameter(name: string, dims: readonly number[], init: Initialiser): string {
    this.#parameters.push({ name, dims, init });
    return this.#builder.input(name, 'float32', dims);
  }

  #add(
    layer: string,
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    dims: readonly number[],
    value = layer,
  ): this {
    this.#builder.addNode({ op, domain: '', name: layer, inputs, outputs: [value], attributes });
    this.#last = value;
    this.#dims = dims;
    return this;
  }
}
