// How two sets of parameters are compared.

import type { Plan } from '../../src/protocol/index.ts';
import { valuesFrom } from '../../src/split/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import type { StudyOutcome } from '../harness/study.ts';

/** Largest absolute difference over the largest absolute value of `expected`. */
export function farthest(expected: Tensor, actual: Tensor): number {
  let [difference, size] = [0, 0];
  for (let index = 0; index < expected.data.length; index++) {
    difference = Math.max(difference, Math.abs(Number(actual.data[index]) - Number(expected.data[index])));
    size = Math.max(size, Math.abs(Number(expected.data[index])));
  }
  return difference / size;
}

/** The selected parameters of a whole network by their own names, its segment and head as one site has them. */
export function splitParameters(plan: Plan, outcome: StudyOutcome, site: number): ReadonlyMap<string, Tensor> {
  const atSite = outcome.sites[site]!.segment;
  return new Map([
    ...valuesFrom('segment', plan.layouts.segment, atSite),
    ...valuesFrom('trunk', plan.layouts.trunk, outcome.server.trunk),
    ...(plan.layouts.head ? valuesFrom('head', plan.layouts.head, atSite) : []),
  ]);
}
