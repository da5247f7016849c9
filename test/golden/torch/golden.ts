// Reads make.py's numbers and runs graphs on them in ONNX Runtime.

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { GraphBuilder } from '../../../src/onnx/index.ts';
import { differentiate } from '../../../src/autodiff/index.ts';
import { runOnRuntime } from '../../interpreter/on-runtime.ts';

export interface Stored {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** A function's values at stored inputs, and the gradients of Σ seed·output. */
export interface WithGradients {
  readonly inputs: readonly Stored[];
  readonly output: Stored;
  readonly seed: Stored;
  readonly gradients: readonly Stored[];
}

/** One of the files that make.py writes. */
export function readGolden<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as T;
}

export function feedOf({ dims, data }: Stored): { dims: readonly number[]; data: Float64Array } {
  return { dims, data: Float64Array.from(data) };
}

/** Largest difference over the largest absolute value expected; differences of values that are tiny throughout count in full. */
export function relativeDifference(got: ArrayLike<number>, expected: readonly number[]): number {
  expect(got.length).toBe(expected.length);
  let difference = 0;
  let scale = 1e-3;
  expected.forEach((value, index) => {
    difference = Math.max(difference, Math.abs(got[index]! - value));
    scale = Math.max(scale, Math.abs(value));
  });
  return difference / scale;
}

/**
 * Checks one operator or more against stored numbers in ONNX Runtime: `forward` adds nodes over inputs `x0`, `x1`, … of the builder
 * and returns the output.
 */
export async function expectGolden(
  builder: GraphBuilder,
  golden: WithGradients,
  forward: (inputs: string[]) => string,
  tolerance: number,
): Promise<void> {
  const inputs = golden.inputs.map(({ dims }, index) => builder.input(`x${index}`, 'float32', dims));
  const seed = builder.input('seed', 'float32', golden.seed.dims);
  const output = forward(inputs);
  const gradients = differentiate(builder, new Map([[output, seed]]), inputs);
  builder.output(output, 'output');
  for (const input of inputs) builder.output(gradients.get(input)!, `d${input}`);
  const feeds = Object.fromEntries(golden.inputs.map((value, index) => [`x${index}`, feedOf(value)]));
  const got = await runOnRuntime(builder.build(), { ...feeds, seed: feedOf(golden.seed) });
  expect(got['output']!.dims).toEqual(golden.output.dims);
  expect(relativeDifference(got['output']!.data, golden.output.data)).toBeLessThan(tolerance);
  golden.gradients.forEach((expected, index) => {
    const gradient = got[`dx${index}`]!;
    expect(gradient.dims).toEqual(expected.dims);
    expect(relativeDifference(gradient.data, expected.data)).toBeLessThan(tolerance);
  });
}
