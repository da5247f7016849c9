// The mean over sites of parameters, statistics and moments.

import { type Tensor, tensor } from '../../src/tensor/index.ts';
import type { Tensors } from './graphs.ts';

/** Σ n_i·v_i / Σ n_i of each element, in float64 in site order, rounded to float32 once. */
export function weightedMean(states: readonly Tensors[], counts: readonly number[]): Record<string, Tensor> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const mean: Record<string, Tensor> = {};
  for (const [name, { dims, data }] of Object.entries(states[0] ?? {})) {
    const values = Float32Array.from(data as Float32Array, (_, element) => {
      let sum = 0;
      for (const [site, state] of states.entries())
        sum += (counts[site] as number) * Number((state[name] as Tensor).data[element]);
      return sum / total;
    });
    mean[name] = tensor('float32', dims, values);
  }
  return mean;
}
