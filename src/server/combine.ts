// Arithmetic on tensors that the server does outside the graphs, in one fixed order so that two runs give the same bits.

import { assert } from '../base/index.ts';
import { elementCount, type Tensor, tensor, zeros } from '../tensor/index.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The sum of the sites' float64 tensors by name, added in the given order. */
export function sumInOrder(sites: readonly Tensors[]): Record<string, Tensor> {
  const [first, ...rest] = sites;
  assert(first, 'there is something to add');
  return mapValues(first, (value, name) => {
    const sum = Float64Array.from(value.data as Float64Array);
    for (const site of rest) {
      const addend = site[name]?.data as Float64Array;
      for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] as number) + (addend[index] as number);
    }
    return tensor('float64', value.dims, sum);
  });
}

/** The mean of the sites' float32 tensors by name, weighted; computed in float64 in the given order and rounded once. */
export function weightedMean(sites: readonly Tensors[], weights: readonly number[]): Record<string, Tensor> {
  const [first] = sites;
  assert(first, 'there is something to average');
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return mapValues(first, (value, name) => {
    const mean = zeros('float32', value.dims);
    const arrays = sites.map((site) => site[name]?.data as Float32Array);
    for (let index = 0; index < mean.data.length; index++) {
      let sum = 0;
      for (let site = 0; site < arrays.length; site++)
        sum += (weights[site] as number) * ((arrays[site] as Float32Array)[index] as number);
      mean.data[index] = sum / total;
    }
    return mean;
  });
}

/** The tensors' rows one after another in one new tensor; all but the first dimension agree. */
export function joinRows(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  assert(first, 'there are rows to join');
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
  const joined = zeros(first.dtype, [rows, ...first.dims.slice(1)]);
  let offset = 0;
  for (const part of parts) {
    (joined.data as Float32Array).set(part.data as Float32Array, offset);
    offset += part.data.length;
  }
  return joined;
}

/** Rows `from` to `from + count - 1` of a tensor, without a copy. */
export function rowsOf(value: Tensor, from: number, count: number): Tensor {
  const dims = [count, ...value.dims.slice(1)];
  const width = elementCount(value.dims.slice(1));
  return {
    dtype: value.dtype,
    dims,
    data: (value.data as Float32Array<ArrayBuffer>).subarray(from * width, (from + count) * width),
  };
}

function mapValues(values: Tensors, map: (value: Tensor, name: string) => Tensor): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value, name)]));
}
