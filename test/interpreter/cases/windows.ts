// Convolutions and pooling: stride, padding, dilation, groups, one to three spatial axes.

import fc from 'fast-check';
import { int, ints, text, type Attribute, type Dim } from '../../../src/onnx/index.ts';
import { distinct, type GradientCase, type Scenario, type Values } from '../scenario.ts';

type Attributes = Record<string, Attribute>;

/** The fewest input rows for which a window of this form has a place. */
function leastSize(kernel: number, dilation: number, pads: number): number {
  return Math.max((kernel - 1) * dilation + 1 - pads, 1);
}

interface Form {
  readonly kernel: number[];
  readonly strides: number[];
  readonly dilations: number[];
  readonly begin: number[];
  readonly end: number[];
  readonly sizes: number[];
  readonly attributes: Attributes;
}

/** A random window over `axes` spatial axes and an input that it fits. `padsMax` gives the largest padding for a kernel size. */
function windowForm(
  s: Scenario,
  axes: number,
  largest: { kernel: number; stride: number; dilation: number; padsMax: (kernel: number) => number },
): Form {
  const kernel = s.integers(axes, 1, largest.kernel);
  const strides = s.integers(axes, 1, largest.stride);
  const dilations = s.integers(axes, 1, largest.dilation);
  const begin = kernel.map((size) => s.integer(0, largest.padsMax(size)));
  const end = kernel.map((size) => s.integer(0, largest.padsMax(size)));
  const sizes = kernel.map(
    (size, axis) => leastSize(size, dilations[axis]!, begin[axis]! + end[axis]!) + s.integer(0, axes > 2 ? 1 : 3),
  );
  const attributes = {
    kernel_shape: ints(kernel),
    ...(strides.some((stride) => stride > 1) || s.flag() ? { strides: ints(strides) } : {}),
    ...(dilations.some((dilation) => dilation > 1) || s.flag() ? { dilations: ints(dilations) } : {}),
    ...([...begin, ...end].some((pad) => pad > 0) || s.flag() ? { pads: ints([...begin, ...end]) } : {}),
  };
  return { kernel, strides, dilations, begin, end, sizes, attributes };
}

/** A convolution of `perGroup` channels a group, with or without bias. */
function convolve(s: Scenario, form: Form, groups: number, perGroup: number, outputsPerGroup: number): string {
  const x = s.input([s.N, groups * perGroup, ...form.sizes]);
  const w = s.input([groups * outputsPerGroup, perGroup, ...form.kernel]);
  const inputs = s.flag() ? [x, w, s.input([groups * outputsPerGroup])] : [x, w];
  return s.add('Conv', inputs, { ...form.attributes, ...(groups > 1 ? { group: int(groups) } : {}) });
}

const plainConvolution: GradientCase = {
  title: 'Conv: stride 1, one group, any padding',
  build: (s) => {
    const form = windowForm(s, 2, { kernel: 3, stride: 1, dilation: 1, padsMax: (kernel) => kernel });
    return convolve(s, form, 1, s.integer(1, 3), s.integer(1, 3));
  },
  runs: 16,
};

const anyConvolution: GradientCase = {
  title: 'Conv: stride, padding, dilation, groups, one to three axes',
  build: (s) => {
    const form = windowForm(s, s.pick(1, 2, 2, 2, 3), { kernel: 3, stride: 3, dilation: 2, padsMax: () => 2 });
    return convolve(s, form, s.integer(1, 3), s.integer(1, 2), s.integer(1, 2));
  },
  runs: 32,
};

const depthwise: GradientCase = {
  title: 'Conv: depthwise',
  build: (s) => {
    const form = windowForm(s, 2, { kernel: 3, stride: 2, dilation: 1, padsMax: () => 1 });
    return convolve(s, form, s.integer(2, 4), 1, s.integer(1, 2));
  },
};

const pointwise: GradientCase = {
  title: 'Conv: 1 by 1, no kernel_shape',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 4), s.integer(1, 4), s.integer(1, 4)]);
    const w = s.input([s.integer(1, 4), s.builder.dimsOf(x)[1]!, 1, 1]);
    return s.add('Conv', [x, w], s.flag() ? { strides: ints([2, 1]) } : {});
  },
};

/** Square windows with auto_pad. */
function autoPadded(s: Scenario): { size: number; attributes: Attributes; kernel: number; stride: number } {
  const [kernel, stride] = [s.integer(1, 4), s.integer(1, 3)];
  return {
    kernel,
    stride,
    size: s.integer(kernel, 6),
    attributes: {
      kernel_shape: ints([kernel, kernel]),
      strides: ints([stride, stride]),
      auto_pad: text(s.pick('SAME_UPPER', 'SAME_LOWER', 'VALID')),
    },
  };
}

const autoPaddedConvolution: GradientCase = {
  title: 'Conv: auto_pad',
  build: (s) => {
    const { kernel, size, attributes } = autoPadded(s);
    return s.add('Conv', [s.input([s.N, 2, size, size]), s.input([2, 2, kernel, kernel])], attributes);
  },
  runs: 12,
};

/** Only one of the convolution's inputs has a gradient, as at the first layer and in a frozen one. */
const frozenConvolution: GradientCase = {
  title: 'Conv: gradient of the input, the weight or the bias alone',
  build: (s) => {
    const which = s.integer(0, 2);
    const dims: Dim[][] = [[s.N, 2, 5, 4], [3, 2, 3, 3], [3]];
    const inputs = dims.map((each, index) => (index === which ? s.input(each) : s.fixed(each)));
    return s.add('Conv', inputs, { pads: ints([1, 1, 1, 1]) });
  },
};

const convTranspose: GradientCase = {
  title: 'ConvTranspose: stride, padding, output padding, dilation, groups, one or two axes',
  build: (s) => {
    const axes = s.pick(1, 2, 2);
    const kernel = s.integers(axes, 1, 3);
    const strides = s.integers(axes, 1, 3);
    const dilations = s.integers(axes, 1, 2);
    const groups = s.integer(1, 2);
    const [perGroup, outputsPerGroup] = s.integers(2, 1, 2) as [number, number];
    const sizes = s.integers(axes, 2, 4);
    const span = kernel.map((size, axis) => (size - 1) * dilations[axis]! + 1);
    const begin = span.map((size) => s.integer(0, Math.min(1, size - 1)));
    const end = span.map((size) => s.integer(0, Math.min(1, size - 1)));
    const extra = strides.map((stride) => s.integer(0, stride - 1));
    const x = s.input([s.N, groups * perGroup, ...sizes]);
    const w = s.input([groups * perGroup, outputsPerGroup, ...kernel]);
    return s.add('ConvTranspose', s.flag() ? [x, w, s.input([groups * outputsPerGroup])] : [x, w], {
      strides: ints(strides),
      dilations: ints(dilations),
      pads: ints([...begin, ...end]),
      group: int(groups),
      ...(extra.some((size) => size > 0) ? { output_padding: ints(extra) } : {}),
    });
  },
  runs: 24,
};

const sizedConvTranspose: GradientCase = {
  title: 'ConvTranspose: auto_pad and output_shape',
  build: (s) => {
    const [kernel, stride, size] = [s.integer(1, 4), s.integer(1, 3), s.integer(2, 3)];
    fc.pre(kernel >= stride);
    const x = s.input([s.N, 2, size, size]);
    const w = s.input([2, 1, kernel, kernel]);
    const shape = stride * (size - 1) + kernel - s.integer(0, Math.min(2, kernel - 1));
    const form: Attributes = s.pick<Attributes>(
      { auto_pad: text('SAME_UPPER') },
      { auto_pad: text('SAME_LOWER') },
      { auto_pad: text('VALID') },
      { output_shape: ints([shape, shape]) },
    );
    return s.add('ConvTranspose', [x, w], { strides: ints([stride, stride]), ...form });
  },
  runs: 24,
};

/**
 * A pool's window: padding below the kernel size, as ONNX Runtime demands. Two forms are left out: a window that reads nothing but
 * padding, which has no value, and with `ceil_mode` one that would begin in the padding at the end, which the operator drops but
 * ONNX Runtime's shape inference counts.
 */
function poolForm(s: Scenario, axes: number): Form {
  const form = windowForm(s, axes, { kernel: 3, stride: 3, dilation: 2, padsMax: (kernel) => kernel - 1 });
  const ceil = s.flag();
  form.sizes.forEach((size, axis) => {
    const [kernel, stride, dilation] = [form.kernel[axis]!, form.strides[axis]!, form.dilations[axis]!];
    const steps = (size + form.begin[axis]! + form.end[axis]! - (kernel - 1) * dilation - 1) / stride;
    const starts = range((ceil ? Math.ceil(steps) : Math.floor(steps)) + 1).map(
      (place) => place * stride - form.begin[axis]!,
    );
    const reads = (start: number): boolean =>
      range(kernel).some((tap) => start + tap * dilation >= 0 && start + tap * dilation < size);
    fc.pre(starts.every((start) => start < size && reads(start)));
  });
  return { ...form, attributes: { ...form.attributes, ...(ceil ? { ceil_mode: int(1) } : {}) } };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** An input of the given numbers and the attributes of a pool that fits it. */
export function pooledInput(s: Scenario, values?: Values): { x: string; attributes: Attributes } {
  const form = poolForm(s, s.pick(1, 2, 2, 3));
  return { x: s.input([s.N, s.integer(1, 2), ...form.sizes], values), attributes: form.attributes };
}

const maxPool: GradientCase = {
  title: 'MaxPool: overlapping, padding, dilation, ceil_mode, one to three axes',
  build: (s) => {
    const { x, attributes } = pooledInput(s, distinct);
    return s.add('MaxPool', [x], attributes);
  },
  runs: 40,
};

const plainMaxPool: GradientCase = {
  title: 'MaxPool: 2 by 2, even and odd sizes',
  build: (s) =>
    s.add('MaxPool', [s.input([s.N, s.integer(1, 3), s.integer(2, 6), s.integer(2, 6)], distinct)], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
    }),
  runs: 16,
};

const autoPaddedPool = (op: 'MaxPool' | 'AveragePool'): GradientCase => ({
  title: `${op}: auto_pad`,
  build: (s) => {
    const { size, attributes, kernel, stride } = autoPadded(s);
    // ONNX Runtime takes the padding of a window shorter than its stride to be negative.
    fc.pre(kernel >= stride);
    return s.add(op, [s.input([s.N, 1, size, size], distinct)], attributes);
  },
  runs: 12,
});

const averagePool: GradientCase = {
  title: 'AveragePool: padding counted or not, dilation, ceil_mode, one to three axes',
  build: (s) => {
    const { x, attributes } = pooledInput(s);
    return s.add('AveragePool', [x], {
      ...attributes,
      ...(s.flag() ? { count_include_pad: int(s.integer(0, 1)) } : {}),
    });
  },
  runs: 40,
};

const globalPool = (op: string): GradientCase => ({
  title: `${op}: one to three axes`,
  build: (s) => s.add(op, [s.input([s.N, s.integer(1, 3), ...s.integers(s.integer(1, 3), 1, 3)], distinct)]),
});

export const windowCases: readonly GradientCase[] = [
  plainConvolution,
  anyConvolution,
  depthwise,
  pointwise,
  autoPaddedConvolution,
  frozenConvolution,
  convTranspose,
  sizedConvTranspose,
  maxPool,
  plainMaxPool,
  autoPaddedPool('MaxPool'),
  averagePool,
  autoPaddedPool('AveragePool'),
  globalPool('GlobalAveragePool'),
  globalPool('GlobalMaxPool'),
];
