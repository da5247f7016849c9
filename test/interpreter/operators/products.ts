// MatMul (opset 13) and Gemm (opset 13).

import { floatAttribute, intAttribute } from '../../../src/onnx/index.ts';
import { elementCount } from '../../../src/tensor/index.ts';
import { broadcastDims, f64, stretched, type F64Tensor } from '../values.ts';
import { input, type Call, type Operator } from './call.ts';

/** The product of two stacks of matrices of the same count: `[batch, rows, inner]` by `[batch, inner, columns]`. */
function multiply(
  a: Float64Array,
  b: Float64Array,
  size: { batch: number; rows: number; inner: number; columns: number },
): Float64Array {
  const { batch, rows, inner, columns } = size;
  const result = new Float64Array(batch * rows * columns);
  for (let n = 0; n < batch; n++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++)
          sum += a[(n * rows + row) * inner + k]! * b[(n * inner + k) * columns + column]!;
        result[(n * rows + row) * columns + column] = sum;
      }
  return result;
}

/** MatMul as numpy's: one-dimensional operands gain an axis that the result loses, leading axes broadcast. */
function matMul(call: Call): F64Tensor[] {
  const [a, b] = [input(call, 0), input(call, 1)];
  const left = a.dims.length === 1 ? [1, ...a.dims] : a.dims;
  const right = b.dims.length === 1 ? [...b.dims, 1] : b.dims;
  const [rows, inner] = [left.at(-2)!, left.at(-1)!];
  const [innerOfRight, columns] = [right.at(-2)!, right.at(-1)!];
  if (inner !== innerOfRight)
    throw new Error(`node ${call.node.name}: [${a.dims.join(', ')}] by [${b.dims.join(', ')}]`);
  const stack = broadcastDims(left.slice(0, -2), right.slice(0, -2));
  const product = multiply(
    stretched({ ...a, dims: left }, [...stack, rows, inner]),
    stretched({ ...b, dims: right }, [...stack, inner, columns]),
    { batch: elementCount(stack), rows, inner, columns },
  );
  const dims = [...stack, ...(a.dims.length === 1 ? [] : [rows]), ...(b.dims.length === 1 ? [] : [columns])];
  return [f64(dims, product, a.dtype)];
}

function transposed(matrix: F64Tensor): F64Tensor {
  const [rows, columns] = [matrix.dims[0]!, matrix.dims[1]!];
  const result = f64([columns, rows]);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result.data[column * rows + row] = matrix.data[row * columns + column]!;
  return result;
}

/** Gemm: Y = alpha · A' · B' + beta · C, where A' and B' are transposed on request and C broadcasts to Y. */
function gemm(call: Call): F64Tensor[] {
  const a = intAttribute(call.node, 'transA', 0) ? transposed(input(call, 0)) : input(call, 0);
  const b = intAttribute(call.node, 'transB', 0) ? transposed(input(call, 1)) : input(call, 1);
  const c = call.inputs[2];
  const alpha = floatAttribute(call.node, 'alpha', 1);
  const beta = floatAttribute(call.node, 'beta', 1);
  const [rows, inner, columns] = [a.dims[0]!, a.dims[1]!, b.dims[1]!];
  if (inner !== b.dims[0]) throw new Error(`node ${call.node.name}: [${a.dims.join(', ')}] by [${b.dims.join(', ')}]`);
  const bias = c ? stretched(c, [rows, columns]) : new Float64Array(rows * columns);
  const product = multiply(a.data, b.data, { batch: 1, rows, inner, columns });
  return [
    f64(
      [rows, columns],
      product.map((element, index) => alpha * element + beta * bias[index]!),
    ),
  ];
}

export const products: Readonly<Record<string, Operator>> = { MatMul: matMul, Gemm: gemm };
