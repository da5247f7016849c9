// The interpreter against PyTorch's float64 numbers (test/golden/interpreter/torch.json, written by make_torch.py).

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { OPSET, type Attribute, type Graph } from '../../src/onnx/index.ts';
import type { DType } from '../../src/tensor/index.ts';
import { largestDifference } from './compare.ts';
import { f64, interpret } from './index.ts';

interface StoredValue {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

interface StoredCase {
  readonly title: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>;
  readonly inputs: readonly (StoredValue | null)[];
  readonly outputs: readonly StoredValue[];
}

const cases = JSON.parse(readFileSync(new URL('../golden/interpreter/torch.json', import.meta.url), 'utf8')) as StoredCase[];

/** Attributes that ONNX declares as floats, whole or not. */
const floats = new Set(['alpha', 'beta', 'epsilon', 'gamma', 'momentum']);

function attributeOf(name: string, value: number | string | readonly number[]): Attribute {
  if (typeof value === 'string') return { kind: 'string', value };
  if (typeof value === 'number') return floats.has(name) ? { kind: 'float', value } : { kind: 'int', value };
  return { kind: 'ints', value };
}

/** The case's operator as a graph of one node. */
function graphOf({ op, attributes, inputs, outputs }: StoredCase): Graph {
  const present = inputs.flatMap((value, index) => (value ? [{ name: `x${index}`, ...value }] : []));
  const results = outputs.map(({ dtype, dims }, index) => ({ name: `y${index}`, dtype, dims }));
  return {
    name: op,
    opsets: { '': OPSET },
    inputs: present.map(({ name, dtype, dims }) => ({ name, dtype, dims })),
    outputs: results,
    initializers: new Map(),
    nodes: [
      {
        op,
        domain: '',
        name: op,
        inputs: inputs.map((value, index) => (value ? `x${index}` : '')),
        outputs: results.map(({ name }) => name),
        attributes: Object.fromEntries(
          Object.entries(attributes).map(([name, value]) => [name, attributeOf(name, value)]),
        ),
      },
    ],
    metadata: {},
  };
}

test.each(cases.map((each) => [`${each.op}: ${each.title}`, each] as const))('%s equals PyTorch', (_, stored) => {
  const feeds = Object.fromEntries(
    stored.inputs.flatMap((value, index) => (value ? [[`x${index}`, f64(value.dims, value.data, value.dtype)]] : [])),
  );
  const results = interpret(graphOf(stored), feeds);
  stored.outputs.forEach(({ dims, data }, index) => {
    const result = results[`y${index}`]!;
    expect(result.dims).toEqual(dims);
    expect(largestDifference(result, f64(dims, data))).toBeLessThan(1e-12);
  });
});
