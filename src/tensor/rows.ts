// Records of a batch are rows: a tensor's first dimension.

import { assert } from '../base/index.ts';
import { elementCount, type Tensor, zeros } from './tensor.ts';

/** The tensors' rows one after another in one new tensor; all but the first dimension agree. One tensor alone is given back as it is. */
export function joinRows(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  assert(first, 'there are rows to join');
  if (parts.length === 1) return first;
  const joined = zeros(
    first.dtype,
    first.dims.with(
      0,
      parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0),
    ),
  );
  let row = 0;
  for (const part of parts) {
    putRows(joined, row, part);
    row += part.dims[0] ?? 0;
  }
  return joined;
}

/** Rows `from` to `from + count - 1` of a tensor, without a copy. */
export function rowsOf(value: Tensor, from: number, count: number): Tensor {
  const dims = value.dims.with(0, count);
  const width = elementCount(value.dims.slice(1));
  const data = (value.data as Float32Array<ArrayBuffer>).subarray(from * width, (from + count) * width);
  return { dtype: value.dtype, dims, data };
}

/** Copies the rows of `part` into `whole`, from row `at` on. */
export function putRows(whole: Tensor, at: number, part: Tensor): void {
  const width = elementCount(whole.dims.slice(1));
  (whole.data as Float32Array).set(part.data as Float32Array, at * width);
}
