// A run of the real server and sites held against its reference, bit for bit.

import { expect } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import type { Plan } from '../../src/protocol/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import { planStudy, runInMemory, secretSeedOf, type StudyOutcome, type TestStudy } from '../harness/study.ts';
import { type ReferenceResult, type StepLoss, trainReference } from '../reference/index.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** Runs the study to its last epoch, and its reference: all losses, parameters, statistics and optimizer slots at every party have the same bits. */
export async function expectSameAsReference(test: TestStudy): Promise<void> {
  const { plan, outcome, reference } = await runBoth(test, 'last');
  expectSameLosses(plan, outcome, reference);
  const { trunk } = reference.last;
  expectSameBits(outcome.server.trunk, pick(trunk, Object.keys(outcome.server.trunk)), 'trunk');
  expectSameBits(pick(outcome.commits.at(-1)?.tensors, Object.keys(trunk)), trunk, 'trunk with its slots');
  for (const [site, name] of plan.sites.entries())
    expectSameBits(outcome.siteStates[site], reference.last.sites[site] as Tensors, `what site ${name} has`);
}

/** Runs the study with selection by validation, and its reference: the selected epoch and its parameters are the same wherever they go. */
export async function expectSameSelection(test: TestStudy): Promise<void> {
  const { plan, outcome, reference } = await runBoth(test, 'best-val');
  const { epoch, trunk, sites } = reference.selected;
  expectSameLosses(plan, outcome, reference);
  expect(outcome.server.bestEpoch).toBe(epoch);
  const trunkNames = Object.keys(outcome.server.trunk);
  expectSameBits(outcome.server.trunk, pick(trunk, trunkNames), 'selected trunk');
  for (const [site, name] of plan.sites.entries()) {
    const own = outcome.sites[site]!;
    const expected = pick(sites[site], Object.keys(own.segment));
    expectSameBits(own.segment, expected, `selected segment of site ${name}`);
    expectSameBits(own.trunk, pick(trunk, trunkNames), `trunk at site ${name}`);
    const known = outcome.server.segments[name] ?? outcome.server.segments[''];
    expectSameBits(known, expected, `segment of site ${name} at the server`);
  }
}

async function runBoth(test: TestStudy, select: Plan['training']['select']) {
  const study = { ...test, training: { ...test.training, select } };
  const outcome = await runInMemory(planStudy(study));
  await using engine = await openEngine({ placement: 'inline', threads: 1 });
  const planned = planStudy(study);
  const reference = await trainReference(planned, engine, { secretSeedOf, log: outcome.log });
  return { plan: planned.plan, outcome, reference };
}

/** Every loss as the server and as each site told of it. */
function expectSameLosses({ choices }: Plan, outcome: StudyOutcome, { losses }: ReferenceResult): void {
  expect(outcome.steps.length, 'steps').toBe(losses.length);
  if (choices.when === 'detached') {
    expect(outcome.steps.map(({ epoch, loss }) => ({ epoch, loss }))).toEqual(
      losses.map(({ epoch, sites }) => ({ epoch, loss: sites[0]?.loss })),
    );
    return;
  }
  // Replicas go side by side: their steps are told as they end.
  if (choices.trunk === 'shared')
    expect(outcome.steps.map(({ siteLosses }) => siteLosses.map(({ site }) => site))).toEqual(
      losses.map(({ sites }) => sites.map(({ site }) => site)),
    );
  for (const [site, steps] of outcome.siteSteps.entries()) {
    const expected = ofSite(losses, site);
    expect(steps.map(({ epoch, loss }) => ({ epoch, loss }))).toEqual(expected);
    const told = outcome.steps.map(({ epoch, siteLosses }) => ({ epoch, sites: siteLosses }));
    const unknown = choices.labels === 'site';
    expect(ofSite(told, site)).toEqual(unknown ? expected.map((entry) => ({ ...entry, loss: null })) : expected);
  }
}

type Told = Pick<StepLoss, 'epoch'> & {
  readonly sites: readonly { readonly site: number; readonly loss: number | null }[];
};

function ofSite(steps: readonly Told[], site: number): { epoch: number; loss: number | null }[] {
  return steps.flatMap(({ epoch, sites }) =>
    sites.filter((own) => own.site === site).map(({ loss }) => ({ epoch, loss })),
  );
}

/** Both have the same tensors with the same bits. */
export function expectSameBits(actual: Tensors | undefined, expected: Tensors, what: string): void {
  expect(Object.keys(actual ?? {}).sort(), `tensors of ${what}`).toEqual(Object.keys(expected).sort());
  for (const [name, { dims, data }] of Object.entries(expected)) {
    const value = actual?.[name];
    expect(value?.dims, `${what}, ${name}`).toEqual(dims);
    let different = 0;
    for (let index = 0; index < data.length; index++) if (!Object.is(value?.data[index], data[index])) different += 1;
    expect(different, `${what}, ${name}: elements that differ`).toBe(0);
  }
}

function pick(tensors: Tensors | undefined, names: readonly string[]): Tensors {
  return Object.fromEntries(names.map((name) => [name, tensors?.[name] as Tensor]));
}
