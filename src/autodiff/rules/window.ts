// Where the windows of convolution and pooling stand: kernel, strides, dilations and the pads that auto_pad stands for
// (ONNX Conv 11, MaxPool 12, AveragePool 19). Spatial sizes must be known numbers.

import { intAttribute, intsAttribute, textAttribute, type Dim, type Node } from '../../onnx/index.ts';

/** All lists have one entry a spatial axis. */
export interface Windows {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBegin: readonly number[];
  /** Padding after the data as the node states it. */
  readonly padsEnd: readonly number[];
  /** Spatial sizes of the input and the output. */
  readonly inputSizes: readonly number[];
  readonly outputSizes: readonly number[];
  /** Rows after the data that the last window needs: at most `padsEnd`, more with ceil_mode; negative where data is left unread. */
  readonly reachEnd: readonly number[];
}

/** The spatial sizes of `[batch, channels, ...]`, or undefined when one is symbolic. */
export function spatialSizes(dims: readonly Dim[]): readonly number[] | undefined {
  const sizes = dims.slice(2);
  return sizes.every((size) => typeof size === 'number') ? sizes : undefined;
}

/** The windows of a Conv or pooling node over `inputDims`, whose output is `outputDims`; undefined when a spatial size is symbolic. */
export function windowsOf(
  node: Node,
  kernel: readonly number[],
  inputDims: readonly Dim[],
  outputDims: readonly Dim[],
): Windows | undefined {
  const inputSizes = spatialSizes(inputDims);
  const outputSizes = spatialSizes(outputDims);
  if (!inputSizes || !outputSizes) return undefined;
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, 'strides', ones);
  const dilations = intsAttribute(node, 'dilations', ones);
  const extents = kernel.map((size, axis) => (size - 1) * dilations[axis]! + 1);
  const { begin, end } = padsOf(node, extents, strides, inputSizes, outputSizes);
  const reachEnd = extents.map(
    (extent, axis) => (outputSizes[axis]! - 1) * strides[axis]! + extent - inputSizes[axis]! - begin[axis]!,
  );
  return { kernel, strides, dilations, padsBegin: begin, padsEnd: end, inputSizes, outputSizes, reachEnd };
}

/** The pads a node states, or those of auto_pad: SAME pads to ceil(input / stride) windows, the odd one at the end (UPPER) or beginning (LOWER). */
function padsOf(
  node: Node,
  extents: readonly number[],
  strides: readonly number[],
  inputSizes: readonly number[],
  outputSizes: readonly number[],
): { begin: readonly number[]; end: readonly number[] } {
  const autoPad = textAttribute(node, 'auto_pad', 'NOTSET');
  if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
    const totals = extents.map((extent, axis) =>
      Math.max(0, (outputSizes[axis]! - 1) * strides[axis]! + extent - inputSizes[axis]!),
    );
    const lesser = totals.map((total) => Math.floor(total / 2));
    const greater = totals.map((total) => Math.ceil(total / 2));
    return autoPad === 'SAME_UPPER' ? { begin: lesser, end: greater } : { begin: greater, end: lesser };
  }
  const rank = extents.length;
  const zeros = [...extents, ...extents].map(() => 0);
  const pads = autoPad === 'VALID' ? zeros : intsAttribute(node, 'pads', zeros);
  return { begin: pads.slice(0, rank), end: pads.slice(rank) };
}

/** Every tap of the kernel, row-major: [0, 0], [0, 1], … */
export function taps(kernel: readonly number[]): number[][] {
  let list: number[][] = [[]];
  for (const size of kernel) {
    list = list.flatMap((tap) => Array.from({ length: size }, (_, index) => [...tap, index]));
  }
  return list;
}

/** The product of some integers; 1 for none. */
export function product(values: readonly number[]): number {
  return values.reduce((result, value) => result * value, 1);
}

/** Channels per group of a convolution. */
export function groupOf(node: Node): number {
  return intAttribute(node, 'group', 1);
}
