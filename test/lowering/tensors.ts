// Tensors for a graph's inputs, and how what comes out is compared.

import { expect } from 'vitest';
import type { Graph } from '../../src/onnx/index.ts';
import { float32, type Tensor } from '../../src/tensor/index.ts';
import { distance, feedsFor } from './runtime.ts';

/** A tensor for each input, for so many records. */
export function tensors(graph: Graph, records: number, kind: 'whole' | 'continuous' = 'whole'): Record<string, Tensor> {
  const values = feedsFor(graph, records, 7, kind);
  const named = graph.inputs.map(({ name, dims }) => {
    const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : records));
    return [name, float32(values[name]!, sizes)] as const;
  });
  return Object.fromEntries(named);
}

export const fetchAll = (graph: Graph): string[] => graph.outputs.map(({ name }) => name);

/** The same tensors, values to 1e-5. */
export function expectNear(got: Readonly<Record<string, Tensor>>, expected: Readonly<Record<string, Tensor>>): void {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  for (const [name, { dims, data }] of Object.entries(expected)) {
    expect(got[name]?.dims).toEqual(dims);
    expect(distance(data as Float32Array, got[name]?.data as Float32Array)).toBeLessThan(1e-5);
  }
}
