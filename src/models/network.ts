// A network as Septum cuts and trains it: its forward pass in inference form, and what its parameters start from.
// The graph is ordinary ONNX. Parameters are graph inputs rather than initializers, so that one graph serves every set of values.

import type { Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';

/** What a parameter or running statistic starts from. `uniform` is U(-bound, bound), `normal` has mean 0, `value` is given. */
export type Initialiser =
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly stdDev: number }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'value'; readonly tensor: Tensor<'float32'> };

/** A float32 tensor that training changes, by the name of its graph input. */
export interface ParameterSpec {
  readonly name: string;
  readonly dims: readonly number[];
  readonly init: Initialiser;
}

/** A network, whole. It is cut at `cut` into site segment and the rest, and at `headCut` into trunk and head where the head sits at the site. */
export interface Network {
  readonly name: string;
  /**
   * The forward pass in inference form. Inputs: `x`, float32 `[N, ...inputDims]`, then every parameter, then every running
   * statistic, in the order of the lists below. One output, `y`, float32: logits `[N, classes]`, or z `[N, 1]`.
   * Dropout nodes stay, with their ratio as an initializer and without `training_mode`.
   */
  readonly graph: Graph;
  readonly parameters: readonly ParameterSpec[];
  /** Running means and variances of batch normalisation: moved by the forward pass in training, not by the optimizer. */
  readonly statistics: readonly ParameterSpec[];
  /** The dimensions of one record, without the batch. */
  readonly inputDims: readonly number[];
  /** The value that is the activations: the site segment's output. */
  readonly cut: string;
  /**
   * The value at which the head begins: the trunk's output when labels stay at the site. It lies after `cut`, with parameters between;
   * only in a network too short for a trunk and a head is it `cut` itself, and then its labels cannot stay at the site.
   */
  readonly headCut: string;
}

/** The number of single numbers that training changes. */
export function parameterCount(network: Network): number {
  return network.parameters.reduce((sum, { dims }) => sum + dims.reduce((product, dim) => product * dim, 1), 0);
}
