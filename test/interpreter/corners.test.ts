// Gradients where finite differences say nothing: at ties and corners. PyTorch's convention holds, by its own numbers
// (test/golden/interpreter/corners.json, written by make_torch.py), and for max pooling of any form by the first maximum.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkOnRuntime, differentiated } from './check-gradients.ts';
import { largestDifference } from './compare.ts';
import { interpret } from './interpret.ts';
import { differentiate } from '../../src/autodiff/index.ts';
import { GraphBuilder, type Graph } from '../../src/onnx/index.ts';
import { pooledInput } from './cases/windows.ts';
import { Scenario, tied, type GradientCase } from './scenario.ts';
import { attributesOf, readStored, valueOf, type StoredAttributes, type StoredValue } from './stored.ts';
import { runOnRuntime } from './on-runtime.ts';
import { f64, type F64Tensor } from './values.ts';

interface StoredCorner {
  readonly title: string;
  readonly operators: readonly { readonly op: string; readonly attributes: StoredAttributes }[];
  readonly inputs: readonly StoredValue[];
  readonly output: StoredValue;
  readonly seed: StoredValue;
  readonly gradients: readonly StoredValue[];
}

/** The stored operators one after the other, fed and seeded with the stored numbers. */
function graphsOf(stored: StoredCorner): Differentiated {
  const builder = new GraphBuilder('corner');
  const feeds: Record<string, F64Tensor> = {};
  const wrt = stored.inputs.map((value, index) => {
    feeds[`x${index}`] = valueOf(value);
    return builder.input(`x${index}`, 'float32', value.dims);
  });
  const y = stored.operators.reduce(
    (values, { op, attributes }) => [builder.add(op, values, attributesOf(attributes))],
    wrt,
  )[0]!;
  feeds['seed'] = valueOf(stored.seed);
  const gradients = differentiate(builder, new Map([[y, builder.input('seed', 'float32', stored.seed.dims)]]), wrt);
  builder.output(y, 'y');
  wrt.forEach((value, index) => builder.output(gradients.get(value)!, `gradient${index}`));
  return { graph: builder.build(), feeds };
}

interface Differentiated {
  readonly graph: Graph;
  readonly feeds: Readonly<Record<string, F64Tensor>>;
}

const corners = readStored<StoredCorner>('corners.json');
const titleOf = ({ title, operators }: StoredCorner): string =>
  `${operators.map(({ op }) => op).join(' then ')}, ${title}`;

test.each(corners.map((each) => [titleOf(each), each] as const))('%s: the gradient is PyTorch’s', async (_, stored) => {
  const { graph, feeds } = graphsOf(stored);
  const inFloat64 = interpret(graph, feeds);
  const inFloat32 = await runOnRuntime(graph, feeds);
  expect(largestDifference(inFloat64['y']!, valueOf(stored.output))).toBeLessThan(1e-7);
  stored.gradients.forEach((expected, index) => {
    expect(largestDifference(inFloat64[`gradient${index}`]!, valueOf(expected))).toBeLessThan(1e-6);
    expect(largestDifference(inFloat32[`gradient${index}`]!, valueOf(expected))).toBeLessThan(1e-6);
  });
});

/** A MaxPool of any form over numbers of which many tie, with or without a Relu before it, and with its Indices for the test. */
const tiedPool: GradientCase = {
  title: 'MaxPool of ties',
  build: (s) => {
    const { x, attributes } = pooledInput(s, tied);
    const pooled = s.flag() ? s.add('Relu', [x]) : x;
    s.builder.addNode({ op: 'MaxPool', domain: '', inputs: [pooled], outputs: ['y', 'indices'], attributes });
    return 'y';
  },
};

test('max pooling of any form gives a window’s gradient to its first maximum, and a Relu before it stops what is not positive', async () => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const graphs = differentiated(new Scenario(draw), tiedPool);
      const { forward, backward, feeds, seeds } = graphs;
      const x = graphs.wrt[0]!;
      const y = forward.outputs[0]!;
      const withIndices = { ...forward, outputs: [y, { ...y, name: 'indices', dtype: 'int64' as const }] };
      const { indices } = interpret(withIndices, feeds);
      const expected = new Float64Array(feeds[x]!.data.length);
      indices!.data.forEach((winner, window) => (expected[winner]! += seeds['y']!.data[window]!));
      if (forward.nodes.some(({ op }) => op === 'Relu'))
        feeds[x]!.data.forEach((element, index) => (expected[index] = element > 0 ? expected[index]! : 0));
      const gradient = interpret(backward, feeds)[`gradient:${x}`]!;
      expect(largestDifference(gradient, f64(feeds[x]!.dims, expected))).toBeLessThan(1e-12);
      await checkOnRuntime(backward, feeds);
    }),
    { seed: 20210810, numRuns: 60 },
  );
});
