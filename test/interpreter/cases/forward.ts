// Operators without a gradient rule, or whose values are no floats: only what they compute is tried.

import { codeOfDType, int, text, type Dim } from '../../../src/onnx/index.ts';
import { float32, int64 } from '../../../src/tensor/index.ts';
import { apartFromZero, between, ordinary, positive, tied, type GradientCase, type Scenario } from '../scenario.ts';

const image = (s: Scenario): Dim[] => [s.N, s.integer(1, 3), s.integer(1, 4)];

const unary = (...ops: readonly string[]): GradientCase => ({
  title: ops.join(', '),
  build: (s) => ops.map((op) => s.add(op, [s.fixed(image(s))])),
});

const comparisons: GradientCase = {
  title: 'comparisons, broadcasting',
  build: (s) => {
    const [rows, columns] = [s.integer(1, 3), s.integer(1, 3)];
    const [a, b] = [s.fixed([s.N, rows, columns], tied), s.fixed(s.pick<Dim[]>([columns], [rows, 1], []), tied)];
    return ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) => s.add(op, [a, b]));
  },
};

const logic: GradientCase = {
  title: 'And, Or, Xor, Not',
  build: (s) => {
    const [a, b] = [s.flags([s.N, 4]), s.flags([4])];
    return [...['And', 'Or', 'Xor'].map((op) => s.add(op, [a, b])), s.add('Not', [a])];
  },
};

const wholeNumbers: GradientCase = {
  title: 'Div, Mod and comparison of integers',
  build: (s) => {
    const [a, b] = [s.indices([s.N, 6], -9, 9), s.indices([6], 1, 4)];
    const negative = s.add('Neg', [b]);
    return [
      s.add('Div', [a, b]),
      s.add('Div', [a, negative]),
      s.add('Mod', [a, negative]),
      s.add('Mod', [a, b], { fmod: int(1) }),
      s.add('Mod', [s.fixed([s.N, 2]), s.fixed([2], positive)], { fmod: int(1) }),
      s.add('Equal', [a, b]),
    ];
  },
};

const special: GradientCase = {
  title: 'IsNaN, IsInf',
  build: (s) => {
    const quotient = s.add('Div', [s.fixed([s.N, 6], tied), s.fixed([6], tied)]);
    return [s.add('IsNaN', [quotient]), s.add('IsInf', [quotient])];
  },
};

const casts: GradientCase = {
  title: 'Cast and CastLike between floats, integers and booleans',
  build: (s) => {
    const x = s.fixed([s.N, 5], between(-3, 3));
    const zeros = s.fixed([s.N, 3], tied);
    const to = (value: string, dtype: 'bool' | 'int64' | 'float32' | 'int32'): string =>
      s.add('Cast', [value], { to: int(codeOfDType(dtype)) });
    const whole = s.indices([2], -3, 3);
    return [to(x, 'int64'), to(zeros, 'bool'), to(to(x, 'int32'), 'float32'), s.add('CastLike', [whole, x])];
  },
};

const arguments_: GradientCase = {
  title: 'ArgMax and ArgMin, the first or the last of ties',
  build: (s) => {
    const x = s.fixed([s.N, 3, 4], tied);
    const attributes = {
      axis: int(s.pick(0, 1, 2, -1)),
      keepdims: int(s.integer(0, 1)),
      select_last_index: int(s.integer(0, 1)),
    };
    return [s.add('ArgMax', [x], attributes), s.add('ArgMin', [x], attributes)];
  },
};

const sums: GradientCase = {
  title: 'CumSum and ReduceProd',
  build: (s) => {
    const x = s.fixed([s.N, 3, 4], apartFromZero(0.5));
    const axis = s.builder.constant(int64([s.pick(1, 2, -1)], []), 'i');
    const attributes = { exclusive: int(s.integer(0, 1)), reverse: int(s.integer(0, 1)) };
    return [s.add('CumSum', [x, axis], attributes), s.add('ReduceProd', [x, s.list(1)])];
  },
};

const oneHot: GradientCase = {
  title: 'OneHot at any axis, negative and too large indices',
  build: (s) => {
    const indices = s.indices([s.N, 3], -4, 5);
    const depth = s.builder.constant(int64([4], []), 'depth');
    return s.add('OneHot', [indices, depth, s.builder.constant(float32([0.25, 2]))], {
      axis: int(s.pick(-1, 0, 1, 2)),
    });
  },
};

const elements: GradientCase = {
  title: 'GatherElements and ScatterElements along any axis, with every reduction',
  build: (s) => {
    const axis = s.integer(0, 1);
    const x = s.fixed([3, 4]);
    const indices = s.indices([2, 3], -3, 2);
    const reduction = s.pick('add', 'mul', 'max', 'min');
    const updates = s.fixed([2, 3]);
    return [
      s.add('GatherElements', [x, indices], { axis: int(axis) }),
      s.add('ScatterElements', [x, indices, updates], { axis: int(axis), reduction: text(reduction) }),
      s.add('ScatterElements', [x, s.list(2), s.builder.constant(float32([7]))].with(0, s.fixed([4])), {
        axis: int(0),
      }),
    ];
  },
};

const tuples: GradientCase = {
  title: 'GatherND and ScatterND of elements and rows',
  build: (s) => {
    const x = s.fixed([3, 4, 2]);
    const width = s.integer(1, 3);
    const indices = s.indices([2, width], -2, 1);
    const updates = s.fixed([2, ...[3, 4, 2].slice(width)]);
    const stacked = s.indices([3, 2, 1], 0, 3);
    return [
      s.add('GatherND', [x, indices]),
      s.add('GatherND', [x, stacked], { batch_dims: int(1) }),
      s.add('ScatterND', [x, indices, updates], { reduction: text(s.pick('add', 'mul', 'max', 'min')) }),
      s.add('ScatterND', [x, s.builder.constant(int64([2, 0], [2, 1])), s.fixed([2, 4, 2])]),
    ];
  },
};

const pads: GradientCase = {
  title: 'Pad by reflection, edge and wrap',
  build: (s) => {
    const x = s.fixed([s.N, 3, 4]);
    const [top, left, bottom, right] = s.integers(4, 0, 2) as [number, number, number, number];
    return ['reflect', 'edge', 'wrap'].map((mode) =>
      s.add('Pad', [x, s.list(0, top, left, 0, bottom, right)], { mode: text(mode) }),
    );
  },
};

const resize: GradientCase = {
  title: 'Resize by nearest neighbour in every convention',
  build: (s) => {
    const x = s.fixed([1, 1, s.integer(1, 4), s.integer(1, 4)]);
    const [height, width] = s.integers(2, 1, 7) as [number, number];
    const attributes = {
      mode: text('nearest'),
      coordinate_transformation_mode: text(s.pick('half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel')),
      nearest_mode: text(s.pick('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil')),
    };
    return s.add('Resize', [x, '', '', s.list(1, 1, height, width)], attributes);
  },
  runs: 30,
};

const made: GradientCase = {
  title: 'Shape, Size, Constant, ConstantOfShape, Range, Trilu, Expand',
  build: (s) => {
    const x = s.fixed([2, s.integer(1, 3), 4], ordinary);
    const whole = (value: number): string => s.builder.constant(int64([value], []), 'i');
    const value = { kind: 'tensor', value: float32([2.5], [1]) } as const;
    const upper = int(s.integer(0, 1));
    return [
      s.add('Shape', [x]),
      s.add('Shape', [x], { start: int(-2), end: int(2) }),
      s.add('Size', [x]),
      s.add('Constant', [], { value: { kind: 'tensor', value: float32([1, 2]) } }),
      s.add('ConstantOfShape', [s.list(2, 3)], { value }),
      s.add('ConstantOfShape', [s.list(2)]),
      s.add('Range', [whole(s.integer(0, 2)), whole(7), whole(s.integer(1, 3))]),
      s.add('Trilu', [x], { upper }),
      s.add('Trilu', [x, whole(s.integer(-2, 2))], { upper }),
    ];
  },
};

/** Cases for the forward pass alone. */
export const forwardCases: readonly GradientCase[] = [
  unary('Mish', 'Selu', 'Softsign'),
  comparisons,
  logic,
  wholeNumbers,
  special,
  casts,
  arguments_,
  sums,
  oneHot,
  elements,
  tuples,
  pads,
  resize,
  made,
];
