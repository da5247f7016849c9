// Ridge and logistic regression on raw inputs: what a network must beat to be worth its trouble. Both minimise
// Σ ℓ(y, b + x·w) + l2/2·|w|² with ℓ half the squared error, or the binary cross-entropy; b is not penalised. Newton's method, each
// step solved by conjugate gradients that read the records once an iteration: no matrix of columns x columns is formed, so an image's
// thousands of pixels are columns like any other.

import { assert } from '../base/index.ts';
import { sigmoid } from './losses.ts';

export interface LinearInput {
  /** `[rows, columns]` row-major, finite. */
  readonly x: Float64Array | Float32Array;
  readonly columns: number;
  /** A target, or a class 0 or 1, for each row. */
  readonly y: ArrayLike<number>;
  /** Weight of the penalty: 0 or more; above 0 for `fitLogistic`, whose weights may grow without end otherwise. */
  readonly l2: number;
  /** The fit ends when the gradient has shrunk to this share of its first length; default 1e-4, far below what metrics show. */
  readonly tolerance?: number;
}

/** b + x·w. */
export interface LinearModel {
  readonly weights: Float64Array;
  readonly intercept: number;
}

/** Ridge regression (least squares with l2 = 0; where columns depend on each other, one of the best fits). */
export function fitLinear(input: LinearInput): LinearModel {
  return fit(input, { mean: (z) => z, slope: () => 1, loss: (z, y) => (z - y) ** 2 / 2 });
}

/** Logistic regression of classes 0 and 1. */
export function fitLogistic(input: LinearInput): LinearModel {
  assert(input.l2 > 0, 'logistic regression needs a penalty above 0');
  return fit(input, {
    mean: sigmoid,
    slope: (mean) => mean * (1 - mean),
    loss: (z, y) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z))),
  });
}

/** b + x·w of each row of `[rows, columns]`: a ridge model's prediction, a logistic model's logit. */
export function predictLinear(model: LinearModel, x: Float64Array | Float32Array): Float64Array {
  const design: Design = { x, columns: model.weights.length, means: new Float64Array(model.weights.length) };
  const out = new Float64Array(x.length / model.weights.length);
  multiply(design, model.weights, model.intercept, out);
  return out;
}

/** The probability of class 1 for each row. */
export function predictLogistic(model: LinearModel, x: Float64Array | Float32Array): Float64Array {
  return predictLinear(model, x).map(sigmoid);
}

/** How a record's loss depends on its z = b + x·w: dℓ/dz = mean(z) - y, d²ℓ/dz² = slope(mean(z)). */
interface Family {
  mean(z: number): number;
  slope(mean: number): number;
  loss(z: number, y: number): number;
}

/** Records with `means` taken off their columns, which makes the intercept nearly independent of the weights. */
interface Design {
  readonly x: Float64Array | Float32Array;
  readonly columns: number;
  readonly means: Float64Array;
}

const newtonStepsMost = 50;

/** A vector of `columns` weights and, last, the intercept. */
type Parameters = Float64Array<ArrayBuffer>;

function fit({ x, columns, y, l2, tolerance = 1e-4 }: LinearInput, family: Family): LinearModel {
  const rows = y.length;
  assert(rows > 0 && columns > 0 && x.length === rows * columns, `${x.length} values in ${rows} rows of ${columns}`);
  assert(l2 >= 0, `penalty ${l2}`);
  const design = { x, columns, means: columnMeans(x, columns) };
  const parameters: Parameters = new Float64Array(columns + 1);
  let z = new Float64Array(rows);
  let objective = sumLoss(z, y, family);
  let firstNorm = 0;
  for (let newton = 0; newton < newtonStepsMost; newton++) {
    const means = z.map((value) => family.mean(value));
    const gradient = multiplyTransposed(
      design,
      means.map((mean, i) => mean - y[i]!),
    );
    for (let c = 0; c < columns; c++) gradient[c]! += l2 * parameters[c]!;
    const norm = Math.sqrt(dot(gradient, gradient));
    firstNorm ||= norm;
    if (norm <= tolerance * firstNorm) break;
    const direction = newtonDirection(
      design,
      means.map((mean) => family.slope(mean)),
      l2,
      gradient,
      norm / firstNorm,
    );

    // Halve the step until the objective falls; for the squared error the first try always does.
    const change = new Float64Array(rows);
    multiply(design, direction, direction[columns]!, change);
    let step = 1;
    let improved = false;
    for (let halving = 0; halving < 40 && !improved; halving++, step /= 2) {
      const tried = z.map((value, i) => value + step * change[i]!);
      const penalty = penaltyOf(parameters, direction, step, columns, l2);
      const triedObjective = sumLoss(tried, y, family) + penalty;
      if (triedObjective < objective) {
        improved = true;
        objective = triedObjective;
        z = tried;
        for (let c = 0; c <= columns; c++) parameters[c]! += step * direction[c]!;
      }
    }
    if (!improved) break; // at the limit of float64
  }
  const weights = parameters.slice(0, columns);
  return { weights, intercept: parameters[columns]! - dot(weights, design.means) };
}

/**
 * Solves (Xᵀ·D·X + l2·I)·direction = -gradient, D the `slopes`, by conjugate gradients with the diagonal as preconditioner. The residual
 * shrinks at least to a tenth, and more the nearer the optimum, so that Newton's method keeps its speed at the end.
 */
function newtonDirection(
  design: Design,
  slopes: Float64Array,
  l2: number,
  gradient: Parameters,
  progress: number,
): Parameters {
  const { columns } = design;
  const diagonal = curvatureDiagonal(design, slopes, l2);
  const direction = new Float64Array(columns + 1);
  const residual = gradient.map((value) => -value);
  let scaled = residual.map((value, c) => value / diagonal[c]!);
  const along = scaled.slice();
  let energy = dot(residual, scaled);
  const goal = energy * Math.min(1e-2, progress) ** 2;
  for (let iteration = 0; iteration < 4 * columns + 50 && energy > goal && energy > 0; iteration++) {
    const product = curvatureProduct(design, slopes, l2, along);
    const curvature = dot(along, product);
    if (curvature <= 0) break; // a direction in which nothing changes
    const length = energy / curvature;
    for (let c = 0; c <= columns; c++) {
      direction[c]! += length * along[c]!;
      residual[c]! -= length * product[c]!;
    }
    scaled = residual.map((value, c) => value / diagonal[c]!);
    const nextEnergy = dot(residual, scaled);
    for (let c = 0; c <= columns; c++) along[c] = scaled[c]! + (nextEnergy / energy) * along[c]!;
    energy = nextEnergy;
  }
  return direction;
}

/** Xᵀ·D·(X·v) + l2·v in one pass over the records. */
function curvatureProduct({ x, columns, means }: Design, slopes: Float64Array, l2: number, v: Parameters): Parameters {
  const out = new Float64Array(columns + 1);
  const offset = v[columns]! - dot(v, means);
  let total = 0;
  for (let i = 0, at = 0; i < slopes.length; i++, at += columns) {
    const z = slopes[i]! * (offset + rowDot(x, at, columns, v));
    for (let c = 0; c < columns; c++) out[c]! += z * x[at + c]!;
    total += z;
  }
  for (let c = 0; c < columns; c++) out[c]! += l2 * v[c]! - total * means[c]!;
  out[columns] = total;
  return out;
}

function curvatureDiagonal({ x, columns, means }: Design, slopes: Float64Array, l2: number): Parameters {
  const diagonal = new Float64Array(columns + 1);
  for (let i = 0, at = 0; i < slopes.length; i++, at += columns) {
    for (let c = 0; c < columns; c++) diagonal[c]! += slopes[i]! * (x[at + c]! - means[c]!) ** 2;
    diagonal[columns]! += slopes[i]!;
  }
  for (let c = 0; c < columns; c++) diagonal[c]! += l2;
  return diagonal.map((value) => value || 1); // a constant column without penalty
}

/** out = X·weights + intercept. */
function multiply({ x, columns, means }: Design, weights: Float64Array, intercept: number, out: Float64Array): void {
  const offset = intercept - dot(weights, means);
  for (let i = 0, at = 0; i < out.length; i++, at += columns) {
    out[i] = offset + rowDot(x, at, columns, weights);
  }
}

/** [Xᵀ·u, Σu]. */
function multiplyTransposed({ x, columns, means }: Design, u: Float64Array): Parameters {
  const out = new Float64Array(columns + 1);
  let total = 0;
  for (let i = 0, at = 0; i < u.length; i++, at += columns) {
    const value = u[i]!;
    for (let c = 0; c < columns; c++) out[c]! += value * x[at + c]!;
    total += value;
  }
  for (let c = 0; c < columns; c++) out[c]! -= total * means[c]!;
  out[columns] = total;
  return out;
}

function columnMeans(x: Float64Array | Float32Array, columns: number): Float64Array {
  const means = new Float64Array(columns);
  for (let at = 0; at < x.length; at += columns) for (let c = 0; c < columns; c++) means[c]! += x[at + c]!;
  return means.map((sum) => (sum * columns) / x.length);
}

function sumLoss(z: Float64Array, y: ArrayLike<number>, family: Family): number {
  let sum = 0;
  for (let i = 0; i < z.length; i++) sum += family.loss(z[i]!, y[i]!);
  return sum;
}

function penaltyOf(parameters: Parameters, direction: Parameters, step: number, columns: number, l2: number): number {
  let squares = 0;
  for (let c = 0; c < columns; c++) squares += (parameters[c]! + step * direction[c]!) ** 2;
  return (l2 / 2) * squares;
}

/** A row of x times v. Four sums run side by side, because each addition waits for the one before it. */
function rowDot(x: Float64Array | Float32Array, at: number, columns: number, v: Float64Array): number {
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  let c = 0;
  for (; c + 3 < columns; c += 4) {
    sum0 += x[at + c]! * v[c]!;
    sum1 += x[at + c + 1]! * v[c + 1]!;
    sum2 += x[at + c + 2]! * v[c + 2]!;
    sum3 += x[at + c + 3]! * v[c + 3]!;
  }
  for (; c < columns; c++) sum0 += x[at + c]! * v[c]!;
  return sum0 + sum1 + (sum2 + sum3);
}

/** Over the length of the shorter one, so that the weights of parameters can meet the columns' means. */
function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  const length = Math.min(a.length, b.length);
  for (let c = 0; c < length; c++) sum += a[c]! * b[c]!;
  return sum;
}
