// Every gradient rule against finite differences in float64, over random shapes and attributes, and the same gradient graphs in
// ONNX Runtime against the interpreter.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ruledOperators } from '../../src/autodiff/index.ts';
import { gradientCases } from './cases/index.ts';
import { checkFiniteDifferences, checkOnRuntime, differentiated } from './check-gradients.ts';
import { Scenario } from './scenario.ts';

const seed = 20210810;
const runsOfCase = 8;

describe.each([
  { form: 'in float32', inDouble: false },
  { form: 'added up in float64', inDouble: true },
])('gradients $form', ({ inDouble }) => {
  test.each(gradientCases.map((each) => [each.title, each] as const))('%s', async (_, each) => {
    await fc.assert(
      fc.asyncProperty(fc.gen(), async (draw) => {
        const graphs = differentiated(new Scenario(draw), each, inDouble);
        checkFiniteDifferences(graphs);
        await checkOnRuntime(graphs.backward, graphs.feeds);
      }),
      { seed, numRuns: each.runs ?? runsOfCase },
    );
  });
});

test('every operator that has a rule is passed by the gradient of a case', () => {
  const passed = new Set<string>();
  for (const each of gradientCases) {
    fc.assert(
      fc.property(fc.gen(), (draw) => {
        differentiated(new Scenario(draw), each).passed.forEach((op) => passed.add(op));
      }),
      { seed, numRuns: each.runs ?? runsOfCase },
    );
  }
  expect(ruledOperators.filter((op) => !passed.has(op))).toEqual([]);
});
