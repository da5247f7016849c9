// How a window slides over spatial axes: what convolutions and pooling share. Source: ONNX Conv 11 and 22, MaxPool 12 and 22, AveragePool 19 and 22.

import { intAttribute, intsAttribute, textAttribute, type Node } from '../../../src/onnx/index.ts';

/** A window's geometry, one entry for each spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after. */
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** Positions of the window. */
  readonly output: readonly number[];
}

/** The geometry that a node's attributes give for an input of spatial size `size` and a kernel of size `kernel`. */
export function windowOf(node: Node, size: readonly number[], kernel: readonly number[]): Window {
  const rank = size.length;
  const strides = intsAttribute(node, 'strides', Array<number>(rank).fill(1));
  const dilations = intsAttribute(node, 'dilations', Array<number>(rank).fill(1));
  const pads = intsAttribute(node, 'pads', Array<number>(2 * rank).fill(0));
  const autoPad = textAttribute(node, 'auto_pad', 'NOTSET');
  const ceil = intAttribute(node, 'ceil_mode', 0) === 1;
  const begin: number[] = [];
  const end: number[] = [];
  const output: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const [length, stride] = [size[axis]!, strides[axis]!];
    const span = (kernel[axis]! - 1) * dilations[axis]! + 1;
    let [before, after] = [pads[axis]!, pads[axis + rank]!];
    if (autoPad === 'VALID') [before, after] = [0, 0];
    if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
      const total = Math.max((Math.ceil(length / stride) - 1) * stride + span - length, 0);
      before = autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
      after = total - before;
    }
    const steps = (length + before + after - span) / stride;
    let count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    // A window that would start in the padding at the end is left out.
    if (ceil && (count - 1) * stride >= length + before) count--;
    begin.push(before);
    end.push(after);
    output.push(count);
  }
  return { kernel, strides, dilations, begin, end, output };
}

/** Where tap `tap` of the window at `place` reads along `axis`; outside 0 … size-1 it reads padding. */
export function readPosition(window: Window, axis: number, place: number, tap: number): number {
  return place * window.strides[axis]! - window.begin[axis]! + tap * window.dilations[axis]!;
}
