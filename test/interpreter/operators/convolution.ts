// Conv and ConvTranspose (opset 11 to 22), any number of spatial axes, as one sum over outputs, channels and kernel taps.

import { intAttribute, intsAttribute, textAttribute } from '../../../src/onnx/index.ts';
import { f64, forEachIndex, positionOf, stridesOf, type F64Tensor } from '../values.ts';
import { input, type Call, type Operator } from './call.ts';
import { readPosition, windowOf, type Window } from './window.ts';

/** Visits every pair (window position, kernel tap) that reads inside the input, as row-major positions in output, kernel and input. */
function forEachTap(
  window: Window,
  size: readonly number[],
  visit: (place: number, tap: number, read: number) => void,
): void {
  const strides = stridesOf(size);
  const position = size.map(() => 0);
  forEachIndex(window.output, (place, placeFlat) =>
    forEachIndex(window.kernel, (tap, tapFlat) => {
      for (let axis = 0; axis < size.length; axis++) {
        position[axis] = readPosition(window, axis, place[axis]!, tap[axis]!);
        if (position[axis]! < 0 || position[axis]! >= size[axis]!) return;
      }
      visit(placeFlat, tapFlat, positionOf(position, strides));
    }),
  );
}

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

/** Conv: X `[N, C, …]`, W `[M, C/group, …]`, B `[M]` → Y `[N, M, …]`. */
function conv(call: Call): F64Tensor[] {
  const [x, w] = [input(call, 0), input(call, 1)];
  const bias = call.inputs[2];
  const size = x.dims.slice(2);
  const [records, channels, outputs, perGroup] = [x.dims[0]!, x.dims[1]!, w.dims[0]!, w.dims[1]!];
  const groups = intAttribute(call.node, 'group', 1);
  if (channels !== perGroup * groups || outputs % groups !== 0)
    throw new Error(`node ${call.node.name}: [${w.dims.join(', ')}] in ${groups} groups over ${channels} channels`);
  const window = windowOf(call.node, size, intsAttribute(call.node, 'kernel_shape', w.dims.slice(2)));
  const y = f64([records, outputs, ...window.output]);
  const [xPlane, wPlane, yPlane] = [product(size), product(window.kernel), product(window.output)];
  for (let n = 0; n < records; n++)
    for (let m = 0; m < outputs; m++) {
      const yAt = (n * outputs + m) * yPlane;
      if (bias) y.data.fill(bias.data[m]!, yAt, yAt + yPlane);
      const group = Math.floor(m / (outputs / groups));
      for (let c = 0; c < perGroup; c++) {
        const xAt = (n * channels + group * perGroup + c) * xPlane;
        const wAt = (m * perGroup + c) * wPlane;
        forEachTap(window, size, (place, tap, read) => {
          y.data[yAt + place]! += x.data[xAt + read]! * w.data[wAt + tap]!;
        });
      }
    }
  return [y];
}

/**
 * The window whose positions are the inputs of a ConvTranspose and which reads its output.
 * Output size: stride · (input - 1) + output_padding + span - pads; `output_shape` or `auto_pad` fix it and give the pads.
 */
function transposeWindow(call: Call, size: readonly number[], kernel: readonly number[]): [Window, number[]] {
  const { node } = call;
  const rank = size.length;
  const strides = intsAttribute(node, 'strides', Array<number>(rank).fill(1));
  const dilations = intsAttribute(node, 'dilations', Array<number>(rank).fill(1));
  const pads = intsAttribute(node, 'pads', Array<number>(2 * rank).fill(0));
  const extra = intsAttribute(node, 'output_padding', Array<number>(rank).fill(0));
  const asked = intsAttribute(node, 'output_shape', []);
  const autoPad = textAttribute(node, 'auto_pad', 'NOTSET');
  const begin: number[] = [];
  const end: number[] = [];
  const output: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const [length, stride] = [size[axis]!, strides[axis]!];
    const full = stride * (length - 1) + extra[axis]! + (kernel[axis]! - 1) * dilations[axis]! + 1;
    const same = autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER';
    let [before, after] = autoPad === 'VALID' ? [0, 0] : [pads[axis]!, pads[axis + rank]!];
    if (asked.length > 0 || same) {
      const total = full - (asked.length > 0 ? asked[axis]! : length * stride);
      before = autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
      after = total - before;
    }
    begin.push(before);
    end.push(after);
    output.push(full - before - after);
  }
  return [{ kernel, strides, dilations, begin, end, output: size }, output];
}

/** ConvTranspose: X `[N, C, …]`, W `[C, M/group, …]`, B `[M]` → Y `[N, M, …]`: every input adds its kernel into the output. */
function convTranspose(call: Call): F64Tensor[] {
  const [x, w] = [input(call, 0), input(call, 1)];
  const bias = call.inputs[2];
  const groups = intAttribute(call.node, 'group', 1);
  const [records, channels, perGroup] = [x.dims[0]!, x.dims[1]!, w.dims[1]!];
  if (w.dims[0] !== channels || channels % groups !== 0)
    throw new Error(`node ${call.node.name}: [${w.dims.join(', ')}] in ${groups} groups over ${channels} channels`);
  const outputs = perGroup * groups;
  const [window, size] = transposeWindow(
    call,
    x.dims.slice(2),
    intsAttribute(call.node, 'kernel_shape', w.dims.slice(2)),
  );
  const y = f64([records, outputs, ...size]);
  const [xPlane, wPlane, yPlane] = [product(window.output), product(window.kernel), product(size)];
  for (let n = 0; n < records; n++) {
    bias?.data.forEach((element, m) => {
      y.data.fill(element, (n * outputs + m) * yPlane, (n * outputs + m + 1) * yPlane);
    });
    for (let c = 0; c < channels; c++) {
      const group = Math.floor(c / (channels / groups));
      for (let m = 0; m < perGroup; m++) {
        const yAt = (n * outputs + group * perGroup + m) * yPlane;
        forEachTap(window, size, (place, tap, written) => {
          y.data[yAt + written]! +=
            x.data[(n * channels + c) * xPlane + place]! * w.data[(c * perGroup + m) * wPlane + tap]!;
        });
      }
    }
  }
  return [y];
}

export const convolutions: Readonly<Record<string, Operator>> = { Conv: conv, ConvTranspose: convTranspose };
