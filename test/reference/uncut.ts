// The uncut network trained in one process: the other side of the law (SEMANTICS.md, "The law, and the references"). Three loops, each
// over the same step of the whole network: on the sites' batches together, in turn, and side by side with averages (FedAvg).

import type { OpenedData } from '../../src/data/index.ts';
import type { Engine } from '../../src/engine/index.ts';
import type { PartLayout, Plan } from '../../src/protocol/index.ts';
import {
  type CompiledStudy,
  compileUncut,
  dropoutMasks,
  hyperOf,
  initialState,
  packGroups,
  partsOfSites,
  unpackGroups,
} from '../../src/split/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import { weightedMean } from './averages.ts';
import { concatenate, load, lossWeights, ownBatches, type SiteBatch, unionSteps, weighted } from './batches.ts';
import { advance, Graphs, type Tensors } from './graphs.ts';
import { type PoolFacts, poolFacts } from './pool.ts';

/** The network after training. */
export interface UncutResult {
  /** The loss of each step. */
  readonly losses: readonly number[];
  /** Parameters by their own names. */
  readonly start: ReadonlyMap<string, Tensor>;
  readonly end: ReadonlyMap<string, Tensor>;
  /** The optimizer's slots of each parameter, by its own name. */
  readonly slots: readonly ReadonlyMap<string, Tensor>[];
}

export interface UncutStudy {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly data: readonly OpenedData[];
}

/** Weights, moments and how many updates they have seen. */
interface Uncut {
  readonly state: Tensors;
  readonly updates: number;
}

type Step = (
  network: Uncut,
  batches: readonly SiteBatch[],
  step: number,
  totalSteps: number,
) => Promise<Uncut & { readonly loss: number }>;

type Loop = (settings: {
  readonly plan: Plan;
  readonly facts: PoolFacts;
  readonly start: Uncut;
  readonly step: Step;
}) => Promise<{ readonly end: Uncut; readonly losses: readonly number[] }>;

/** Trains on the sites' batches of each step together. */
export const uncutUnion: Loop = async ({ plan, facts, start, step }) => {
  let network = start;
  const losses: number[] = [];
  const stepsPerEpoch = Math.ceil(facts.total / plan.training.batch);
  for (let epoch = 0; epoch < plan.training.epochs; epoch++) {
    for (const batches of unionSteps(plan, epoch, facts.counts)) {
      const done = await step(network, batches, losses.length, stepsPerEpoch * plan.training.epochs);
      losses.push(done.loss);
      network = done;
    }
  }
  return { end: network, losses };
};

/** Trains on one site's batches at a time: `turnSteps` of the first site, of the second, and so on round and round. */
export const uncutTurns: Loop = async ({ plan, facts, start, step }) => {
  let network = start;
  const losses: number[] = [];
  const { batch, epochs, turnSteps = Number.POSITIVE_INFINITY } = plan.training;
  const totalSteps = epochs * facts.counts.reduce((sum, count) => sum + Math.ceil(count / batch), 0);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const waiting = facts.counts.map((count, site) => ownBatches(plan, site, epoch, count));
    while (waiting.some((own) => own.length > 0)) {
      for (const own of waiting) {
        for (const next of own.splice(0, turnSteps)) {
          const done = await step(network, [next], losses.length, totalSteps);
          losses.push(done.loss);
          network = done;
        }
      }
    }
  }
  return { end: network, losses };
};

/** FedAvg: a network a site, averaged at the end of each round with its moments. Losses are in the order of rounds, then sites. */
export const uncutAveraged: Loop = async ({ plan, facts, start, step }) => {
  let networks = facts.counts.map(() => start);
  const losses: number[] = [];
  const { batch, epochs, roundSteps = Number.POSITIVE_INFINITY } = plan.training;
  const done = facts.counts.map(() => 0);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const waiting = facts.counts.map((count, site) => ownBatches(plan, site, epoch, count));
    while (waiting.some((own) => own.length > 0)) {
      for (const [site, own] of waiting.entries()) {
        const totalSteps = epochs * Math.ceil((facts.counts[site] as number) / batch);
        for (const next of own.splice(0, roundSteps)) {
          const after = await step(networks[site] as Uncut, [next], done[site] as number, totalSteps);
          done[site] = (done[site] as number) + 1;
          losses.push(after.loss);
          networks[site] = after;
        }
      }
      const mean: Uncut = {
        state: weightedMean(
          networks.map(({ state }) => state),
          facts.counts,
        ),
        updates: Math.max(...networks.map(({ updates }) => updates)),
      };
      networks = networks.map(() => mean);
    }
  }
  return { end: networks[0] as Uncut, losses };
};

/** Parameters and optimizer slots by the parameters' own names. */
export interface NamedState {
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly slots: readonly ReadonlyMap<string, Tensor>[];
}

/** Runs a loop over a study's uncut network from the study's start. */
export async function trainUncut(study: UncutStudy, engine: Engine, loop: Loop): Promise<UncutResult> {
  const { part, facts, step } = await openUncut(study, engine);
  const start = initialState(part, study.plan.seed);
  const { end, losses } = await loop({ plan: study.plan, facts, start: { state: start, updates: 0 }, step });
  const { parameters, slots } = namedState(part, end.state);
  return { losses, start: namedState(part, start).parameters, end: parameters, slots };
}

/** One step of `union` from any state: the only step of epoch `epoch`, as update `epoch` + 1. */
export async function stepUncut(
  study: UncutStudy,
  engine: Engine,
  from: NamedState,
  epoch: number,
): Promise<NamedState> {
  const { part, facts, step } = await openUncut(study, engine);
  const state: Record<string, Tensor> = {};
  for (const [kind, values] of [
    ['', from.parameters] as const,
    ...from.slots.map((slot, n) => [`.s${n}`, slot] as const),
  ])
    packGroups(part.layout.groups, values).forEach((value, index) => (state[`network.w${index}${kind}`] = value));
  const [batches, ...others] = unionSteps(study.plan, epoch, facts.counts);
  if (!batches || others.length > 0) throw new Error('the epoch is one step');
  const after = await step({ state, updates: epoch }, batches, epoch, study.plan.training.epochs);
  return namedState(part, after.state);
}

async function openUncut({ plan, study, data }: UncutStudy, engine: Engine) {
  const { part, step: graph } = compileUncut(
    {
      network: study.network,
      loss: plan.network.loss,
      task: plan.task,
      optimizer: plan.training.optimizer,
      clipNorm: plan.training.clipNorm,
    },
    partsOfSites(study),
  );
  const graphs = await Graphs.open(engine, { step: graph });
  const facts = poolFacts(plan, data);
  const step: Step = async ({ state, updates }, batches, at, totalSteps) => {
    const loaded = await Promise.all(batches.map((batch) => load(plan, data, batch)));
    const labels = concatenate(loaded.map((batch) => batch.labels));
    const weight = lossWeights(plan, facts.classWeights, labels, labels.data.length);
    const outputs = await graphs.run('step', {
      ...state,
      x: concatenate(loaded.map(({ x }) => x)),
      labels,
      weight,
      target: facts.target,
      hyper: hyperOf(plan.training, { step: at, totalSteps, update: updates + 1, scale: 1 }),
      ...dropoutMasks(
        plan.seed,
        part.masks,
        batches.map(({ site, epoch, index, rows }) => ({ place: [site, epoch, index], rows: rows.length })),
      ),
    });
    const loss = weighted(outputs['loss'] as Tensor, weight);
    return { state: advance(state, outputs), updates: updates + 1, loss };
  };
  return { part, facts, step };
}

/** A part's state under its parameters' own names. */
export function namedState({ part, layout: { groups, slots } }: Named, state: Tensors): NamedState {
  const named = (suffix: string) =>
    unpackGroups(
      groups,
      groups.map((_, index) => state[`${part}.w${index}${suffix}`] as Tensor),
    );
  return { parameters: named(''), slots: Array.from({ length: slots }, (_, slot) => named(`.s${slot}`)) };
}

interface Named {
  readonly part: string;
  readonly layout: PartLayout;
}
