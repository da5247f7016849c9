// Operators that move, cut, join and repeat elements.

import { codeOfDType, int, ints, text, type Dim } from '../../../src/onnx/index.ts';
import { float32, int64 } from '../../../src/tensor/index.ts';
import type { GradientCase, Scenario } from '../scenario.ts';

/** `[N, …]` with one to three more axes. */
function someDims(s: Scenario): [Dim, ...number[]] {
  return [s.N, ...s.integers(s.integer(1, 3), 1, 4)];
}

/** An axis, counted from either end; the batch's only where its size is known. */
function someAxis(s: Scenario, rank: number): { at: number; given: number } {
  const at = s.integer(typeof s.N === 'number' ? 0 : 1, rank - 1);
  return { at, given: s.flag() ? at : at - rank };
}

const flatten: GradientCase = {
  title: 'Flatten: any axis',
  build: (s) => {
    const dims = someDims(s);
    return s.add('Flatten', [s.input(dims)], s.flag() ? { axis: int(s.integer(-dims.length, dims.length)) } : {});
  },
};

const reshape: GradientCase = {
  title: 'Reshape: -1, 0, and the batch folded into another axis',
  build: (s) => {
    const [a, b] = s.integers(2, 1, 4) as [number, number];
    const x = s.input([s.N, a, b]);
    return s.add('Reshape', [
      x,
      s.pick(s.list(-1, a * b), s.list(0, b, -1), s.list(-1, b), s.list(0, 0, 1, b), s.list(-1)),
    ]);
  },
  runs: 12,
};

const squeeze: GradientCase = {
  title: 'Squeeze and Unsqueeze',
  build: (s) => {
    const x = s.input([s.N, 1, s.integer(1, 3), 1]);
    const squeezed = s.add('Squeeze', s.pick([x, s.list(1)], [x, s.list(1, -1)], [x, s.list(3)]));
    return s.flag() ? squeezed : s.add('Unsqueeze', [squeezed, s.pick(s.list(0), s.list(1, -1), s.list(2))]);
  },
  runs: 12,
};

const transpose: GradientCase = {
  title: 'Transpose: any order',
  build: (s) => {
    const dims = someDims(s);
    const order = dims.map((_, axis) => axis);
    for (let i = order.length - 1; i > 0; i--) {
      const other = s.integer(0, i);
      [order[i], order[other]] = [order[other]!, order[i]!];
    }
    return s.add('Transpose', [s.input(dims)], s.flag() ? { perm: ints(order) } : {});
  },
  runs: 32,
};

const concat: GradientCase = {
  title: 'Concat: one to four values, one of them twice',
  build: (s) => {
    const dims = someDims(s);
    const { at, given } = someAxis(s, dims.length);
    const inputs = Array.from({ length: s.integer(1, 3) }, () => s.input(dims.with(at, s.integer(1, 3))));
    return s.add('Concat', s.flag() ? [...inputs, inputs[0]!] : inputs, { axis: int(given) });
  },
  runs: 12,
};

const split: GradientCase = {
  title: 'Split: given sizes or equal parts, some of them unused',
  build: (s) => {
    const dims = someDims(s);
    const { at, given } = someAxis(s, dims.length);
    const sizes = s.integers(s.integer(1, 4), 1, 3);
    const equal = s.flag();
    const total = equal ? sizes.length * 2 : sizes.reduce((sum, size) => sum + size, 0);
    const x = s.input(dims.with(at, total));
    const parts = s.builder.addNode({
      op: 'Split',
      domain: '',
      inputs: equal ? [x] : [x, s.list(...sizes)],
      outputs: sizes.map((_, part) => `part${part}`),
      attributes: { axis: int(given), ...(equal ? { num_outputs: int(sizes.length) } : {}) },
    });
    return parts.filter((_, part) => part === 0 || s.flag());
  },
  runs: 16,
};

const slice: GradientCase = {
  title: 'Slice: steps forwards and backwards, ends beyond the axis',
  build: (s) => {
    const dims: Dim[] = [s.N, s.integer(2, 5), s.integer(2, 5)];
    const axes = s.pick([1], [2], [1, 2], [-1], [2, 1]);
    const bounds = axes.map((axis) => {
      const size = dims.at(axis) as number;
      const step = s.pick(1, 2, 3, -1, -2);
      const first = s.integer(0, size - 1);
      const start = s.flag() ? first : first - size;
      return { step, start, end: step > 0 ? s.pick(size, 100, first + 1) : s.pick(-100, -size - 1) };
    });
    const [starts, ends] = [bounds.map(({ start }) => start), bounds.map(({ end }) => end)];
    const inputs = [s.input(dims), s.list(...starts), s.list(...ends), s.list(...axes)];
    inputs.push(s.list(...bounds.map(({ step }) => step)));
    return s.add('Slice', inputs);
  },
  runs: 24,
};

const reversedBatch: GradientCase = {
  title: 'Slice: the whole batch, forwards or backwards',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 3)]);
    const backwards = [s.list(-1), s.list(-(2 ** 31)), s.list(0), s.list(-1)];
    return s.add('Slice', s.flag() ? [x, ...backwards] : [x, s.list(0), s.list(2 ** 31 - 1), s.list(0)]);
  },
};

const pad: GradientCase = {
  title: 'Pad: constant, positive and negative, all axes or some',
  build: (s) => {
    const x = s.input([s.N, s.integer(3, 4), s.integer(3, 4)]);
    const someAxes = s.flag();
    const [top, left, bottom, right] = s.integers(4, -1, 2) as [number, number, number, number];
    const pads = someAxes ? s.list(left, top, right, bottom) : s.list(0, top, left, 0, bottom, right);
    const inputs = [x, pads];
    if (s.flag() || someAxes) inputs.push(s.flag() ? s.builder.scalar(0.5) : '');
    if (someAxes) inputs.push(s.list(2, -2));
    return s.add('Pad', inputs, s.flag() ? { mode: text('constant') } : {});
  },
  runs: 16,
};

const expand: GradientCase = {
  title: 'Expand: new axes and axes of 1',
  build: (s) => {
    const [a, b] = s.integers(2, 1, 3) as [number, number];
    const [dims, shape] = s.pick<[Dim[], number[]]>(
      [
        [s.N, 1, b],
        [1, a, b],
      ],
      [
        [s.N, a, 1],
        [1, 1, b],
      ],
      [
        [s.N, a],
        [b, 1, a],
      ],
      [
        [1, a],
        [b, 1],
      ],
      [[s.N, a, b], [1]],
      [[], [a, b]],
    );
    return s.add('Expand', [s.input(dims), s.list(...shape)]);
  },
  runs: 16,
};

const expandToBatch: GradientCase = {
  title: 'Expand: to the shape of another value',
  build: (s) => {
    const like = s.fixed([s.N, 2, 3]);
    return s.add('Expand', [s.input(s.pick<Dim[]>([3], [2, 1], [1, 1, 3], [])), s.add('Shape', [like])]);
  },
};

const tile: GradientCase = {
  title: 'Tile: any axis but the batch',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 3), s.integer(1, 3)]);
    return s.add('Tile', [x, s.list(1, s.integer(1, 3), s.integer(1, 3))]);
  },
};

const gather: GradientCase = {
  title: 'Gather: repeated and negative indices, of any rank',
  build: (s) => {
    const dims = someDims(s);
    const { at, given } = someAxis(s, dims.length);
    const size = dims[at] as number;
    const shape = s.pick<number[]>([], [3], [2, 2], [1]);
    const count = shape.reduce((total, dim) => total * dim, 1);
    const indices = s.builder.constant(int64(s.integers(count, -size, size - 1), shape), 'i');
    return s.add('Gather', [s.input(dims), indices], { axis: int(given) });
  },
  runs: 16,
};

const embedding: GradientCase = {
  title: 'Gather: rows of a table by the batch, as an embedding',
  build: (s) => {
    const rows = s.integer(1, 4);
    const table = s.input([rows, s.integer(1, 3)]);
    return s.add('Gather', [table, s.indices(s.flag() ? [s.N] : [s.N, 2], 0, rows - 1)]);
  },
};

const resize: GradientCase = {
  title: 'Resize: nearest, whole factors, every convention that copies blocks',
  build: (s) => {
    const [height, width, down, across] = s.integers(4, 1, 3) as [number, number, number, number];
    const x = s.input([s.N, 2, height, width]);
    const scales = s.builder.constant(float32([1, 1, down, across]), 'scales');
    const bySize = typeof s.N === 'number' && s.flag();
    const inputs = bySize ? [x, '', '', s.list(s.records, 2, height * down, width * across)] : [x, '', scales];
    const [coordinates, rounding] = s.pick<[string, string]>(
      ['asymmetric', 'floor'],
      ['half_pixel', 'round_prefer_floor'],
      ['half_pixel', 'round_prefer_ceil'],
    );
    return s.add('Resize', inputs, {
      mode: text('nearest'),
      coordinate_transformation_mode: text(coordinates),
      nearest_mode: text(rounding),
    });
  },
  runs: 12,
};

const cast: GradientCase = {
  title: 'Cast: from float32 to itself',
  build: (s) => s.add('Mul', [s.add('Cast', [s.input(someDims(s))], { to: int(1) }), s.builder.scalar(3)]),
};

const castWider: GradientCase = {
  title: 'Cast: from float32 to float64 and back',
  build: (s) => {
    const wide = s.add('Cast', [s.input(someDims(s))], { to: int(codeOfDType('float64')) });
    return s.add('Mul', [s.add('Cast', [s.add('Mul', [wide, wide])], { to: int(1) }), s.builder.scalar(3)]);
  },
};

const dropout: GradientCase = {
  title: 'Dropout: inference',
  build: (s) => s.add('Dropout', s.flag() ? [s.input(someDims(s)), s.builder.scalar(0.5)] : [s.input(someDims(s))]),
};

const depthToSpace: GradientCase = {
  title: 'DepthToSpace and SpaceToDepth',
  build: (s) => {
    const mode = text(s.pick('DCR', 'CRD'));
    const x = s.input([s.N, 4, s.integer(1, 2), s.integer(1, 2)]);
    const wide = s.add('DepthToSpace', [x], { blocksize: int(2), mode });
    const scaled = s.add('Mul', [wide, s.builder.scalar(2)]);
    return s.add('SpaceToDepth', [scaled], { blocksize: int(2) });
  },
};

export const movementCases: readonly GradientCase[] = [
  flatten,
  reshape,
  squeeze,
  transpose,
  concat,
  split,
  slice,
  reversedBatch,
  pad,
  expand,
  expandToBatch,
  tile,
  gather,
  embedding,
  resize,
  cast,
  castWider,
  dropout,
  depthToSpace,
];
