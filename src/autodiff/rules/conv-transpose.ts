// The gradient of ConvTranspose (ONNX 11): it is the adjoint of a convolution, so its input's gradient is that convolution of dy,
// and its weight's gradient is the convolution's with dy and x exchanged.

import { int, ints, intsAttribute, textAttribute, type Node } from '../../onnx/index.ts';
import { range } from '../ops.ts';
import type { Rule } from '../rule.ts';
import { weightGradient } from './convolution.ts';
import { groupOf, spatialSizes, type Windows } from './window.ts';

export const convTransposeRule: Rule = ({ node, ops, gradient, needs, refuse }) => {
  const [x, w, bias] = node.inputs as [string, string, string?];
  const small = spatialSizes(ops.dims(x));
  const large = spatialSizes(ops.dims(gradient));
  const kernel = spatialSizes(ops.dims(w));
  if (!small || !large || !kernel) return refuse('its spatial sizes must be known');
  const windows = adjointWindows(node, kernel, small, large);
  const group = groupOf(node);
  const spatial = range(kernel.length, 2);
  const { strides, dilations, padsBegin, reachEnd } = windows;
  const inputGradient = (): string => {
    // Rows that no window reaches are cut off, or the convolution would put out more windows than x has elements.
    const ends = large.map((size, axis) => size + Math.min(0, reachEnd[axis]!));
    const starts = kernel.map(() => 0);
    const seen = reachEnd.some((reach) => reach < 0) ? ops.slice(gradient, spatial, starts, ends) : gradient;
    return ops.builder.add('Conv', [seen, w], {
      kernel_shape: ints(kernel),
      strides: ints(strides),
      dilations: ints(dilations),
      pads: ints([...padsBegin, ...reachEnd.map((reach) => Math.max(0, reach))]),
      group: int(group),
    });
  };
  return [
    needs(0) ? inputGradient() : undefined,
    needs(1) ? weightGradient({ ops, windows, group, x: gradient, w, gradient: x }) : undefined,
    bias !== undefined && needs(2) ? ops.sum(gradient, [0, ...spatial], false) : undefined,
  ];
};

/** The windows of the convolution from the large side (y) to the small one (x). */
function adjointWindows(
  node: Node,
  kernel: readonly number[],
  small: readonly number[],
  large: readonly number[],
): Windows {
  const ones = kernel.map(() => 1);
  const zeros = kernel.map(() => 0);
  const strides = intsAttribute(node, 'strides', ones);
  const dilations = intsAttribute(node, 'dilations', ones);
  const extra = intsAttribute(node, 'output_padding', zeros);
  const autoPad = textAttribute(node, 'auto_pad', 'NOTSET');
  const stated = intsAttribute(node, 'pads', [...zeros, ...zeros]);
  const reach = kernel.map((size, axis) => (small[axis]! - 1) * strides[axis]! + (size - 1) * dilations[axis]! + 1);
  const padsBegin = kernel.map((_, axis) => {
    if (autoPad === 'VALID') return 0;
    if (autoPad === 'NOTSET' && node.attributes['output_shape'] === undefined) return stated[axis]!;
    const total = Math.max(0, reach[axis]! + extra[axis]! - large[axis]!);
    return autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  const reachEnd = reach.map((rows, axis) => rows - padsBegin[axis]! - large[axis]!);
  return {
    kernel,
    strides,
    dilations,
    padsBegin,
    padsEnd: reachEnd.map((rows) => Math.max(0, rows)),
    inputSizes: large,
    outputSizes: small,
    reachEnd,
  };
}
