// What is averaged over sites, and summed over them.

import { type Tensor, tensor } from '../../src/tensor/index.ts';
import type { Tensors } from './graphs.ts';
import type { Party } from './study.ts';

/** Σ n_i·v_i / Σ n_i of each element, in float64 in site order, rounded to float32 once. */
export function weightedMean(states: readonly Tensors[], counts: readonly number[]): Record<string, Tensor> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return combine(states, (values) => {
    let sum = 0;
    for (const [site, value] of values.entries()) sum += (counts[site] as number) * value;
    return sum / total;
  });
}

/** The sum of each element, in float64 in the given order. */
export function sumOf(states: readonly Tensors[]): Record<string, Tensor> {
  const [first] = states as [Tensors];
  return Object.fromEntries(
    Object.entries(first).map(([name, { dims, data }]) => {
      const sums = Float64Array.from(data as Float64Array, (_, element) =>
        states.reduce((sum, state) => sum + Number((state[name] as Tensor).data[element]), 0),
      );
      return [name, tensor('float64', dims, sums)];
    }),
  );
}

/** All parties get the mean of those with a weight, their training records; their count of updates becomes the largest. */
export function averageParties(parties: readonly Party[], weights: readonly number[]): void {
  const there = parties.filter((_, index) => weights[index]! > 0);
  const state = weightedMean(
    there.map((party) => party.state),
    weights.filter((weight) => weight > 0),
  );
  const updates = Math.max(...there.map((party) => party.updates));
  for (const party of parties) Object.assign(party, { state, updates });
}

function combine(states: readonly Tensors[], of: (values: readonly number[]) => number): Record<string, Tensor> {
  const combined: Record<string, Tensor> = {};
  for (const [name, { dims, data }] of Object.entries(states[0] ?? {})) {
    const values = Float32Array.from(data as Float32Array, (_, element) =>
      of(states.map((state) => Number((state[name] as Tensor).data[element]))),
    );
    combined[name] = tensor('float32', dims, values);
  }
  return combined;
}
