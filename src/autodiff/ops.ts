// Shorthand for the ONNX operators that gradients, losses and updates are made of. Each method adds one node (or none where the
// operator would do nothing) and returns its output's name. Floating values are float32 where nothing else is said; scalars
// are rank-0 constants.

import { assert } from '../base/index.ts';
import { codeOfDType, int, ints, sameDims, type Dim, type GraphBuilder } from '../onnx/index.ts';
import { float32, int64, type DType } from '../tensor/index.ts';

/** An axis counted from the front. */
export function axisFromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** `count` integers starting at `start`. */
export function range(count: number, start = 0): number[] {
  return Array.from({ length: Math.max(0, count) }, (_, index) => start + index);
}

export class Ops {
  readonly builder: GraphBuilder;

  constructor(builder: GraphBuilder) {
    this.builder = builder;
  }

  dims(value: string): readonly Dim[] {
    return this.builder.dimsOf(value);
  }

  rank(value: string): number {
    return this.dims(value).length;
  }

  scalar(value: number): string {
    return this.builder.scalar(value);
  }

  /** A float32 constant of the given shape. */
  constant(values: ArrayLike<number>, dims: readonly number[]): string {
    return this.builder.constant(float32(values, dims), 'k');
  }

  // Arithmetic, with ONNX's broadcasting.

  add(a: string, b: string): string {
    return this.builder.add('Add', [a, b]);
  }

  sub(a: string, b: string): string {
    return this.builder.add('Sub', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.builder.add('Mul', [a, b]);
  }

  div(a: string, b: string): string {
    return this.builder.add('Div', [a, b]);
  }

  pow(a: string, b: string): string {
    return this.builder.add('Pow', [a, b]);
  }

  max(a: string, b: string): string {
    return this.builder.add('Max', [a, b]);
  }

  min(a: string, b: string): string {
    return this.builder.add('Min', [a, b]);
  }

  /** The sum of one value or more of the same shape. */
  total(values: readonly string[]): string {
    if (values.length === 1) return values[0]!;
    return this.builder.add(values.length === 2 ? 'Add' : 'Sum', values);
  }

  /** `value` times a number; nothing is added for 1. */
  scale(value: string, factor: number): string {
    return factor === 1 ? value : this.mul(value, this.scalar(factor));
  }

  /** `value` plus a number; nothing is added for 0. */
  plus(value: string, term: number): string {
    return term === 0 ? value : this.add(value, this.scalar(term));
  }

  square(value: string): string {
    return this.mul(value, value);
  }

  /** An operator of one input and no attributes. */
  unary(
    op:
      'Abs' | 'Erf' | 'Exp' | 'Log' | 'Neg' | 'Not' | 'Reciprocal' | 'Sigmoid' | 'Sign' | 'Softplus' | 'Sqrt' | 'Tanh',
    value: string,
  ): string {
    return this.builder.add(op, [value]);
  }

  compare(op: 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual', a: string, b: string): string {
    return this.builder.add(op, [a, b]);
  }

  both(a: string, b: string): string {
    return this.builder.add('And', [a, b]);
  }

  where(condition: string, a: string, b: string): string {
    return this.builder.add('Where', [condition, a, b]);
  }

  cast(value: string, dtype: DType): string {
    if (this.builder.typeOf(value).dtype === dtype) return value;
    return this.builder.add('Cast', [value], { to: int(codeOfDType(dtype)) });
  }

  /** 1 where `a op b` holds, else 0, as float32. */
  indicator(op: 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual', a: string, b: string): string {
    return this.cast(this.compare(op, a, b), 'float32');
  }

  // Shape.

  /** Reshape to `dims`; at most one -1; 0 copies the dimension at its place. */
  reshape(value: string, dims: readonly number[]): string {
    return sameDims(this.dims(value), dims) ? value : this.builder.add('Reshape', [value, this.builder.integers(dims)]);
  }

  /** Reshape to the shape of `like`, which has as many elements. */
  reshapeLike(value: string, like: string): string {
    const dims = this.dims(like);
    if (sameDims(this.dims(value), dims)) return value;
    const target = this.#targetDims(dims);
    if (target) return this.builder.add('Reshape', [value, this.builder.integers(target)]);
    return this.builder.add('Reshape', [value, this.shapeOf(like)]);
  }

  /** `dims` with -1 for its one symbolic dimension; undefined when there are several. */
  #targetDims(dims: readonly Dim[]): number[] | undefined {
    if (dims.filter((dim) => typeof dim === 'string').length > 1) return undefined;
    return dims.map((dim) => (typeof dim === 'string' ? -1 : dim));
  }

  /** A value's shape as int64 [rank], known when the graph runs. */
  shapeOf(value: string): string {
    return this.builder.add('Shape', [value]);
  }

  /** `value` repeated to the shape of `like`, by broadcasting. */
  expandLike(value: string, like: string): string {
    const dims = this.dims(like);
    if (sameDims(this.dims(value), dims)) return value;
    const known = dims.every((dim) => typeof dim === 'number');
    return this.builder.add('Expand', [value, known ? this.builder.integers(dims) : this.shapeOf(like)]);
  }

  /** Zeros of the shape of `value`. */
  zerosLike(value: string): string {
    const dims = this.dims(value);
    if (!dims.every((dim) => typeof dim === 'number'))
      return this.builder.add('ConstantOfShape', [this.shapeOf(value)]);
    return this.builder.add('ConstantOfShape', [this.builder.integers(dims)]);
  }

  /** Reshape to dimensions of which at most one is symbolic. */
  reshapeTo(value: string, dims: readonly Dim[]): string {
    if (sameDims(this.dims(value), dims)) return value;
    const target = this.#targetDims(dims);
    assert(target, `a reshape to [${dims.join(', ')}] has one symbolic dimension at most`);
    return this.builder.add('Reshape', [value, this.builder.integers(target)]);
  }

  transpose(value: string, perm: readonly number[]): string {
    return perm.every((axis, index) => axis === index)
      ? value
      : this.builder.add('Transpose', [value], { perm: ints(perm) });
  }

  /** Swaps the last two axes. */
  transposeLast(value: string): string {
    const rank = this.rank(value);
    return this.transpose(value, [...range(rank - 2), rank - 1, rank - 2]);
  }

  unsqueeze(value: string, axes: readonly number[]): string {
    return axes.length === 0 ? value : this.builder.add('Unsqueeze', [value, this.builder.integers(axes)]);
  }

  squeeze(value: string, axes: readonly number[]): string {
    return axes.length === 0 ? value : this.builder.add('Squeeze', [value, this.builder.integers(axes)]);
  }

  slice(
    value: string,
    axes: readonly number[],
    starts: readonly number[],
    ends: readonly number[],
    steps?: readonly number[],
  ): string {
    const inputs = [value, ...[starts, ends, axes].map((list) => this.builder.integers(list))];
    if (steps) inputs.push(this.builder.integers(steps));
    return this.builder.add('Slice', inputs);
  }

  /** The index `index` of axis `axis`, which goes. */
  pick(value: string, axis: number, index: number): string {
    return this.builder.add('Gather', [value, this.builder.constant(int64([index], []), 'i')], { axis: int(axis) });
  }

  /** Rows `indices` of axis `axis`. */
  gather(value: string, axis: number, indices: readonly number[]): string {
    return this.builder.add('Gather', [value, this.builder.integers(indices)], { axis: int(axis) });
  }

  /** Pads with `fill`; `pads` holds the beginnings of all axes, then the ends, as ONNX's Pad. Nothing is added for zeros. */
  pad(value: string, pads: readonly number[], fill = 0): string {
    if (pads.every((pad) => pad === 0)) return value;
    const inputs = [value, this.builder.integers(pads)];
    if (fill !== 0) inputs.push(this.scalar(fill));
    return this.builder.add('Pad', inputs);
  }

  concat(values: readonly string[], axis: number): string {
    return values.length === 1 ? values[0]! : this.builder.add('Concat', values, { axis: int(axis) });
  }

  // Reductions and products.

  sum(value: string, axes: readonly number[], keepDims: boolean): string {
    if (axes.length === 0) return value;
    return this.builder.add('ReduceSum', [value, this.builder.integers(axes)], { keepdims: int(keepDims ? 1 : 0) });
  }

  mean(value: string, axes: readonly number[], keepDims: boolean): string {
    return this.builder.add('ReduceMean', [value, this.builder.integers(axes)], { keepdims: int(keepDims ? 1 : 0) });
  }

  /**
   * The sum over records (axis 0) and other `axes` as float64. Where these are the last ones a record's own sum is in float32: runtimes
   * then add a record's elements in the same order however many records there are, which they need not do for axes in the middle.
   */
  sumOverRecords(value: string, axes: readonly number[] = []): string {
    const areLast = axes.every((axis) => axis >= this.rank(value) - axes.length);
    const own = areLast ? this.sum(value, axes, true) : value;
    return this.sum(this.cast(own, 'float64'), [0, ...axes], false);
  }

  matmul(a: string, b: string): string {
    return this.builder.add('MatMul', [a, b]);
  }

  /** alpha · a(ᵀ) · b(ᵀ) for matrices. */
  gemm(a: string, b: string, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): string {
    return this.builder.add('Gemm', [a, b], {
      ...(options.transA === true ? { transA: int(1) } : {}),
      ...(options.transB === true ? { transB: int(1) } : {}),
      ...(options.alpha !== undefined && options.alpha !== 1
        ? { alpha: { kind: 'float' as const, value: options.alpha } }
        : {}),
    });
  }

  /**
   * Sums a gradient over what broadcasting repeated, so that it has the shape of `input`: leading axes that `input` lacks and
   * axes where `input` has 1 and the gradient has not. `inDouble`: as `sumOverRecords`, where axis 0 is among them.
   */
  reduceTo(gradient: string, input: string, inDouble = false): string {
    const from = this.dims(gradient);
    const to = this.dims(input);
    const extra = from.length - to.length;
    const repeated: number[] = [];
    to.forEach((dim, index) => {
      if (dim === 1 && from[index + extra] !== 1) repeated.push(index + extra);
    });
    const axes = [...range(extra), ...repeated];
    if (inDouble && axes.includes(0))
      return this.reshapeLike(
        this.sumOverRecords(
          gradient,
          axes.filter((axis) => axis !== 0),
        ),
        input,
      );
    if (extra === 0) return this.sum(gradient, repeated, true);
    if (repeated.length === 0) return this.sum(gradient, range(extra), false);
    return this.reshapeLike(this.sum(gradient, axes, false), input);
  }
}
