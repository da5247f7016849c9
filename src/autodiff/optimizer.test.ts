// Optimizers against PyTorch's own parameters after every step (test/golden/torch), through ONNX Runtime.

import { describe, expect, it } from 'vitest';
import { feedOf, readGolden, relativeDifference, type Stored } from '../../test/golden/torch/golden.ts';
import { openOnRuntime } from '../../test/interpreter/on-runtime.ts';
import { GraphBuilder, type Graph } from '../onnx/index.ts';
import { addUpdate, hyperValues, slotCount, type Optimizer } from './optimizer.ts';

interface Golden {
  readonly start: readonly Stored[];
  readonly gradients: readonly (readonly Stored[])[];
  readonly rates: readonly number[];
  readonly cases: readonly {
    readonly optimizer: Optimizer;
    readonly clipNorm: number | null;
    readonly after: readonly (readonly Stored[])[];
  }[];
}

const golden = readGolden<{ optimizers: Golden }>('golden.json').optimizers;

/** Parameters `pI`, gradients `gI`, slots `pI.J` in; the same names with `next:` out. */
function updateGraph(optimizer: Optimizer, clipNorm: number | null): Graph {
  const builder = new GraphBuilder('update');
  const groups = golden.start.map(({ dims }, index) => ({
    parameter: builder.input(`p${index}`, 'float32', dims),
    gradient: builder.input(`g${index}`, 'float32', dims),
    slots: Array.from({ length: slotCount(optimizer) }, (_, slot) =>
      builder.input(`p${index}.${slot}`, 'float32', dims),
    ),
  }));
  const hyper = builder.input('hyper', 'float32', [4]);
  const updated = addUpdate(builder, optimizer, groups, hyper, { clipNorm: clipNorm ?? undefined });
  updated.forEach(({ parameter, slots }, index) => {
    builder.output(parameter, `next:p${index}`);
    slots.forEach((slot, at) => builder.output(slot, `next:p${index}.${at}`));
  });
  return builder.build();
}

describe('optimizers follow PyTorch', () => {
  const cases = golden.cases.map((each) => [JSON.stringify([each.optimizer, each.clipNorm]), each] as const);
  it.each(cases)('%s', async (_, { optimizer, clipNorm, after }) => {
    await using graph = await openOnRuntime(updateGraph(optimizer, clipNorm));
    const state: Record<string, { dims: readonly number[]; data: Float64Array }> = {};
    golden.start.forEach((value, index) => {
      state[`p${index}`] = feedOf(value);
      for (let slot = 0; slot < slotCount(optimizer); slot++)
        state[`p${index}.${slot}`] = { dims: value.dims, data: new Float64Array(value.data.length) };
    });
    // The site's factor is in the gradient scale: gradients four times as large, scaled by a quarter, are the same.
    for (const [step, gradients] of golden.gradients.entries()) {
      const hyper = hyperValues(optimizer, golden.rates[step]!, step + 1, 0.25);
      const fed = gradients.map((value, index) => {
        const { dims, data } = feedOf(value);
        return [`g${index}`, { dims, data: data.map((number) => 4 * number) }] as const;
      });
      const got = await graph.run({
        ...state,
        ...Object.fromEntries(fed),
        hyper: { dims: [4], data: Float64Array.from(hyper) },
      });
      for (const [name, value] of Object.entries(got)) state[name.slice('next:'.length)] = value;
      after[step]!.forEach((expected, index) => {
        expect(relativeDifference(state[`p${index}`]!.data, expected.data)).toBeLessThan(1e-6);
      });
    }
  });
});
