// Arithmetic on tensors that the server does outside the graphs, in one fixed order so that two runs give the same bits.

import { assert } from '../base/index.ts';
import { type Tensor, tensor, zeros } from '../tensor/index.ts';

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

function mapValues(values: Tensors, map: (value: Tensor, name: string) => Tensor): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value, name)]));
}
