// The interpreter against PyTorch's float64 numbers (test/golden/interpreter/torch.json, written by make_torch.py).

import { expect, test } from 'vitest';
import { OPSET, type Graph } from '../../src/onnx/index.ts';
import { largestDifference } from './compare.ts';
import { interpret } from './index.ts';
import { attributesOf, readStored, valueOf, type StoredAttributes, type StoredValue } from './stored.ts';

interface StoredCase {
  readonly title: string;
  readonly op: string;
  readonly attributes: StoredAttributes;
  readonly inputs: readonly (StoredValue | null)[];
  readonly outputs: readonly StoredValue[];
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
        attributes: attributesOf(attributes),
      },
    ],
    metadata: {},
  };
}

const cases = readStored<StoredCase>('torch.json');

test.each(cases.map((each) => [`${each.op}: ${each.title}`, each] as const))('%s equals PyTorch', (_, stored) => {
  const feeds = Object.fromEntries(
    stored.inputs.flatMap((value, index) => (value ? [[`x${index}`, valueOf(value)]] : [])),
  );
  const results = interpret(graphOf(stored), feeds);
  stored.outputs.forEach((expected, index) => {
    const result = results[`y${index}`]!;
    expect(result.dims).toEqual(expected.dims);
    expect(largestDifference(result, valueOf(expected))).toBeLessThan(1e-12);
  });
});
