// Several operators together: rules that look at their neighbours, values that are used more than once, small networks.

import { float, int, ints } from '../../../src/onnx/index.ts';
import { between, distinct, type GradientCase, type Scenario } from '../scenario.ts';

interface Pool {
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
}

const pools: readonly Pool[] = [
  { kernel: 2, stride: 2, pad: 0 },
  { kernel: 3, stride: 2, pad: 1 },
  { kernel: 3, stride: 3, pad: 0 },
  { kernel: 2, stride: 1, pad: 0 },
];

/** A 3 by 3 convolution, Relu and pool. The input is random enough that no two elements of a window tie and none is at the corner. */
function block(
  s: Scenario,
  x: string,
  channels: number,
  pool: { kernel: number; stride: number; pad: number },
): string {
  const inputs = s.builder.dimsOf(x)[1]!;
  const w = s.input([channels, inputs, 3, 3], between(-0.7, 0.7));
  const b = s.input([channels], between(-0.2, 0.3));
  const convolved = s.add('Conv', [x, w, b], { pads: ints([1, 1, 1, 1]), kernel_shape: ints([3, 3]) });
  const { kernel, stride, pad } = pool;
  return s.add('MaxPool', [s.add('Relu', [convolved])], {
    kernel_shape: ints([kernel, kernel]),
    strides: ints([stride, stride]),
    pads: ints([pad, pad, pad, pad]),
  });
}

const convReluPool: GradientCase = {
  title: 'Conv, Relu and MaxPool twice, Gemm: a small image network',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 2), s.integer(6, 8), s.integer(6, 8)]);
    const first = block(s, x, s.integer(1, 3), s.pick(...pools));
    const second = block(s, first, 2, s.pick(pools[0]!, pools[1]!));
    const flat = s.add('Flatten', [second]);
    const width = s.builder.dimsOf(flat)[1]!;
    return s.add('Gemm', [flat, s.input([3, width]), s.input([3])], { transB: int(1) });
  },
  runs: 12,
};

const reluPoolShared: GradientCase = {
  title: 'a Relu that feeds a MaxPool and something else',
  build: (s) => {
    const relu = s.add('Relu', [s.input([s.N, 2, 4, 6], distinct)]);
    const { kernel, stride, pad } = s.pick(...pools);
    const attributes = {
      kernel_shape: ints([kernel, kernel]),
      strides: ints([stride, stride]),
      pads: ints([pad, pad, pad, pad]),
    };
    const pooled = s.add('MaxPool', [relu], attributes);
    const other = s.pick('Sigmoid', 'MaxPool', 'Identity');
    return [pooled, s.add(other, [relu], other === 'MaxPool' ? attributes : {})];
  },
  runs: 12,
};

const fanOut: GradientCase = {
  title: 'a value that is used two to five times',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 3)]);
    const uses = Array.from({ length: s.integer(2, 5) }, () => s.add(s.pick('Tanh', 'Sigmoid', 'Erf', 'Neg'), [x]));
    if (s.flag()) return uses;
    return s.add('Sum', s.flag() ? uses : [...uses, x]);
  },
  runs: 12,
};

const residual: GradientCase = {
  title: 'a residual block: the input is added to what convolutions make of it',
  build: (s) => {
    const channels = s.integer(1, 3);
    const x = s.input([s.N, channels, 4, 4]);
    const convolve = (value: string): string =>
      s.add('Conv', [value, s.input([channels, channels, 3, 3])], { pads: ints([1, 1, 1, 1]) });
    const normalized = s.add('GroupNormalization', [convolve(x), s.input([channels]), s.input([channels])], {
      num_groups: int(channels),
    });
    const sum = s.add('Add', [convolve(s.add('Gelu', [normalized])), x]);
    return s.add('GlobalAveragePool', [sum]);
  },
};

const attention: GradientCase = {
  title: 'attention over a short sequence',
  build: (s) => {
    const [length, width] = [s.integer(1, 3), s.integer(2, 4)];
    const x = s.input([s.N, length, width]);
    const normal = s.add('LayerNormalization', [x, s.input([width]), s.input([width])], { epsilon: float(0.1) });
    const [query, key, value] = [0, 1, 2].map(() => s.add('MatMul', [normal, s.input([width, width])])) as [
      string,
      string,
      string,
    ];
    const scores = s.add('MatMul', [query, s.add('Transpose', [key], { perm: ints([0, 2, 1]) })]);
    const scaled = s.add('Div', [scores, s.builder.scalar(Math.sqrt(width))]);
    return s.add('Add', [x, s.add('MatMul', [s.add('Softmax', [scaled]), value])]);
  },
};

const branches: GradientCase = {
  title: 'branches that are split, treated apart and joined again',
  build: (s) => {
    const [a, b] = s.integers(2, 1, 3) as [number, number];
    const x = s.input([s.N, a + b, 3]);
    const [left, right] = s.builder.split(x, 1, [a, b]) as [string, string];
    const joined = s.add('Concat', [s.add('Tanh', [right]), s.add('Exp', [left]), left], { axis: int(1) });
    return s.add('ReduceMean', [joined, s.list(2)], { keepdims: int(0) });
  },
};

const unused: GradientCase = {
  title: 'an input that nothing depends on has the gradient 0',
  build: (s) => {
    s.input(s.flag() ? [s.N, 2] : [3]);
    return s.add('Tanh', [s.input([s.N, 2])]);
  },
};

export const compoundCases: readonly GradientCase[] = [
  convReluPool,
  reluPoolShared,
  fanOut,
  residual,
  attention,
  branches,
  unused,
];
