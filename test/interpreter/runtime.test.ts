// The interpreter against ONNX Runtime in float32 for the operators that no gradient case runs there.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Graph } from '../../src/onnx/index.ts';
import { forwardCases } from './cases/forward.ts';
import { gradientCases } from './cases/index.ts';
import { checkOnRuntime } from './check-gradients.ts';
import { interpretedOperators } from './interpret.ts';
import { Scenario, type GradientCase } from './scenario.ts';

const seed = 20210810;
const runsOfCase = 8;

function forwardGraph(scenario: Scenario, { build }: GradientCase): Graph {
  for (const value of [build(scenario)].flat()) scenario.builder.output(value);
  return scenario.builder.build();
}

test.each(forwardCases.map((each) => [each.title, each] as const))('%s', async (_, each) => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const scenario = new Scenario(draw);
      await checkOnRuntime(forwardGraph(scenario, each), scenario.feeds, 1e-5);
    }),
    { seed, numRuns: each.runs ?? runsOfCase },
  );
});

test('every operator that is interpreted is run by ONNX Runtime in a case', () => {
  const run = new Set<string>();
  for (const each of [...gradientCases, ...forwardCases]) {
    fc.assert(
      fc.property(fc.gen(), (draw) => {
        for (const { op } of forwardGraph(new Scenario(draw), each).nodes) run.add(op);
      }),
      { seed, numRuns: runsOfCase },
    );
  }
  expect(interpretedOperators.filter((op) => !run.has(op))).toEqual([]);
});
