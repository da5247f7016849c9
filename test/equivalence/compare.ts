// How two sets of parameters are compared.

import { expect } from 'vitest';
import type { Plan } from '../../src/protocol/index.ts';
import { valuesFrom } from '../../src/split/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import type { StudyOutcome } from '../harness/study.ts';
import type { UncutResult } from '../reference/uncut.ts';

type Named = ReadonlyMap<string, Tensor>;

/** Largest absolute difference over the largest absolute value of `expected`. */
export function relativeDifference(actual: Tensor | undefined, expected: Tensor): number {
  if (actual?.data.length !== expected.data.length) return Number.POSITIVE_INFINITY;
  let [difference, size] = [0, 0];
  for (let index = 0; index < expected.data.length; index++) {
    const [a, b] = [Number(actual.data[index]), Number(expected.data[index])];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(a - b));
    size = Math.max(size, Math.abs(b));
  }
  return difference === 0 ? 0 : difference / size;
}

/** Tensor by tensor, within the tolerance by SEMANTICS.md's measure. */
export function expectSameNetwork(actual: Named, expected: Named, tolerance: number): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, value] of expected)
    expect(relativeDifference(actual.get(name), value), `parameter ${name}`).toBeLessThanOrEqual(tolerance);
}

/** A comparison says something only where there was training: the loss fell by a fifth, and each tensor went 100 tolerances. */
export function expectLearnt({ losses, start, end }: UncutResult, tolerance: number): void {
  const tenth = Math.ceil(losses.length / 10);
  expect(mean(losses.slice(-tenth)), 'loss of the last tenth').toBeLessThan(0.8 * mean(losses.slice(0, tenth)));
  expectMoved(start, end, 100 * tolerance);
}

/** Every tensor moved by at least `least` of its largest value. */
export function expectMoved(start: Named, end: Named, least: number): void {
  for (const [name, value] of end)
    expect(relativeDifference(start.get(name), value), `way of ${name}`).toBeGreaterThanOrEqual(least);
}

/** The selected parameters of a whole network by their own names, its segment and head as one site has them. */
export function splitParameters(plan: Plan, outcome: StudyOutcome, site: number): Named {
  const atSite = outcome.sites[site]!.segment;
  return new Map([
    ...valuesFrom('segment', plan.layouts.segment, atSite),
    ...valuesFrom('trunk', plan.layouts.trunk, outcome.server.trunk),
    ...(plan.layouts.head ? valuesFrom('head', plan.layouts.head, atSite) : []),
  ]);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
