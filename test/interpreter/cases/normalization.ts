// Normalisations with trainable scale and bias. Batch normalisation in training form is in training.test.ts.

import { float, int, type Dim } from '../../../src/onnx/index.ts';
import { positive, type GradientCase, type Scenario } from '../scenario.ts';

/** `[N, C, …]` with one or two spatial axes. */
function imageDims(s: Scenario, channels: number): Dim[] {
  return [s.N, channels, ...s.integers(s.integer(1, 2), 2, 4)];
}

const epsilon = (s: Scenario): Readonly<Record<string, ReturnType<typeof float>>> =>
  s.flag() ? { epsilon: float(0.01) } : {};

const batchNormalization: GradientCase = {
  title: 'BatchNormalization: inference, all five inputs',
  build: (s) => {
    const channels = s.integer(1, 3);
    const x = s.input(s.flag() ? imageDims(s, channels) : [s.N, channels]);
    const [scale, bias, mean] = [s.input([channels]), s.input([channels]), s.input([channels])];
    return s.add('BatchNormalization', [x, scale, bias, mean, s.input([channels], positive)], epsilon(s));
  },
  runs: 12,
};

const groupNormalization: GradientCase = {
  title: 'GroupNormalization: any number of groups',
  build: (s) => {
    const groups = s.integer(1, 3);
    const channels = groups * s.integer(1, 2);
    const inputs = [s.input(imageDims(s, channels)), s.input([channels]), s.input([channels])];
    return s.add('GroupNormalization', inputs, { num_groups: int(groups), ...epsilon(s) });
  },
  runs: 12,
};

const instanceNormalization: GradientCase = {
  title: 'InstanceNormalization',
  build: (s) => {
    const channels = s.integer(1, 3);
    const inputs = [s.input(imageDims(s, channels)), s.input([channels]), s.input([channels])];
    return s.add('InstanceNormalization', inputs, epsilon(s));
  },
};

const layerNormalization: GradientCase = {
  title: 'LayerNormalization: from any axis, with and without bias',
  build: (s) => {
    const dims = [s.N, ...s.integers(s.integer(1, 3), 2, 4)];
    const axis = s.integer(1, dims.length - 1);
    const inner = dims.slice(axis);
    const inputs = [s.input(dims), s.input(inner)];
    if (s.flag()) inputs.push(s.input(inner));
    return s.add('LayerNormalization', inputs, {
      ...(axis === dims.length - 1 && s.flag() ? {} : { axis: int(s.flag() ? axis : axis - dims.length) }),
      ...epsilon(s),
    });
  },
  runs: 16,
};

export const normalizationCases: readonly GradientCase[] = [
  batchNormalization,
  groupNormalization,
  instanceNormalization,
  layerNormalization,
];
