// The matrices of Winograd's minimal filtering F(4 x 4, 3 x 3): Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks",
// made by the Toom-Cook construction for the points 0, 1, -1, 1/2, -2 and infinity. Of the usual small points these round least: an RMS
// error of 1.7e-6 of a convolution's size, where 0, ±1, ±2 give 2.7e-6 and a direct one has 2e-7.
//
// For one row: y = Aᵀ[(G g) ⊙ (Bᵀ d)] with d of 6 inputs, g of 3 weights, y of 4 outputs. For images each matrix is its Kronecker product
// with itself, so that a transform is one matrix product over all tiles.

import { float32, type Tensor } from '../../tensor/index.ts';

/** Outputs of a tile along one axis. */
export const tile = 4;
/** Weights of the kernel along one axis. */
export const taps = 3;
/** Inputs of a tile along one axis; neighbours overlap by 2. */
export const reach = tile + taps - 1;
/** Planes of the transformed domain. */
export const planes = reach * reach;

const points = [0, 1, -1, 0.5, -2];

type Matrix = readonly (readonly number[])[];

/** Coefficients of Π (x - root), the constant first. */
function polynomial(roots: readonly number[]): number[] {
  return roots.reduce<number[]>(
    (product, root) => [0, ...product].map((higher, power) => higher - root * (product[power] ?? 0)),
    [1],
  );
}

/** Aᵀ [4, 6], G [6, 3] and Bᵀ [6, 6]. A row's size moves between G and Bᵀ by a power of two, which rounds nothing, so that both are of one size. */
function oneRow(): { readonly output: Matrix; readonly weights: Matrix; readonly input: Matrix } {
  const power = (point: number, exponent: number): number => (exponent === 0 ? 1 : point ** exponent);
  const output = Array.from({ length: tile }, (_, row) => [
    ...points.map((point) => power(point, row)),
    row === tile - 1 ? 1 : 0,
  ]);
  const rows = [...points, Infinity].map((point) => {
    const others = points.filter((other) => other !== point);
    const atInfinity = point === Infinity;
    const divisor = atInfinity ? 1 : others.reduce((product, other) => product * (point - other), 1);
    const weights = Array.from({ length: taps }, (_, tap) =>
      atInfinity ? (tap === taps - 1 ? 1 : 0) : power(point, tap) / divisor,
    );
    const coefficients = polynomial(others);
    const input = Array.from({ length: reach }, (_, at) => coefficients[at] ?? 0);
    const size = (row: readonly number[]): number => row.reduce((sum, value) => sum + Math.abs(value), 0);
    const shift = 2 ** Math.round(Math.log2(Math.sqrt(size(input) / size(weights))));
    return { weights: weights.map((value) => value * shift), input: input.map((value) => value / shift) };
  });
  return { output, weights: rows.map(({ weights }) => weights), input: rows.map(({ input }) => input) };
}

/** The Kronecker product of a matrix with itself. */
function squared(matrix: Matrix): number[][] {
  return matrix.flatMap((upper) => matrix.map((lower) => upper.flatMap((a) => lower.map((b) => a * b))));
}

function tensorOf(rows: Matrix): Tensor {
  return float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
}

function transposed(rows: Matrix): number[][] {
  return (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? 0));
}

const { output, weights, input } = oneRow();
const outputRows = squared(output);
const weightRows = squared(weights);

/** [36, 36]: the 36 values of a tile, row-major → the transformed domain. */
export const inputTransform: Tensor = tensorOf(squared(input));
/** [36, 9]: a kernel's taps, row-major → the transformed domain. */
export const weightTransform: Tensor = tensorOf(weightRows);
/** As `weightTransform` for a kernel that is turned by 180 degrees. */
export const turnedWeightTransform: Tensor = tensorOf(weightRows.map((row) => row.toReversed()));
/** [9, 36]: a gradient in the transformed domain → that of the taps. */
export const weightGradientTransform: Tensor = tensorOf(transposed(weightRows));

/** [16, 36]: the transformed domain → a tile's 16 outputs; `order` says which output (row-major in the tile) each row gives. */
export function outputTransform(order: readonly number[]): Tensor {
  return tensorOf(order.map((at) => outputRows[at] ?? []));
}

/** [36, 16]: the transpose of `outputTransform`, which takes a gradient of the outputs to the transformed domain. */
export function outputGradientTransform(order: readonly number[]): Tensor {
  return tensorOf(transposed(order.map((at) => outputRows[at] ?? [])));
}

/** The plane whose column of Aᵀ ⊗ Aᵀ is all ones (the point 1 both ways): a gradient there is the sum over each tile. */
export const sumPlane = reach + 1;
