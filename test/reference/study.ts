// What the loops of every order share: a study opened for a reference, one server step on the batches of one or more sites, and the
// update of a site's part. Everything is a plain value; nothing is kept at the engine.

import type { OpenedData } from '../../src/data/index.ts';
import type { Engine } from '../../src/engine/index.ts';
import type { Plan } from '../../src/protocol/index.ts';
import { type CompiledStudy, dropoutMasks, hyperOf, initialState, masksOf } from '../../src/split/index.ts';
import { concatenate, load, lossWeights, separate, type SiteBatch, weighted } from './batches.ts';
import { advance, Graphs, type Tensors } from './graphs.ts';
import { type PoolFacts, poolFacts } from './pool.ts';
import type { Tensor } from '../../src/tensor/index.ts';

/** The trunk, or what one site has: tensors by name, and how many updates its optimizer has counted. It changes as the loop goes. */
export interface Party {
  state: Tensors;
  updates: number;
}

/** A study, opened for a reference. */
export interface OpenStudy {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly data: readonly OpenedData[];
  readonly graphs: Graphs;
  readonly facts: PoolFacts;
}

/** A step of one trunk as it happened. */
export interface StepLoss {
  readonly epoch: number;
  /** The sites that took part, with Σ w·ℓ / (records in the step) over each one's records. */
  readonly sites: readonly { readonly site: number; readonly loss: number }[];
}

/** Where an update stands in the learning-rate schedule. */
export interface RatePlace {
  readonly step: number;
  readonly totalSteps: number;
}

/** What a site's update is made from, after a step: the gradients of its parameters, or what these are computed from with the update. */
export interface SiteGradients {
  readonly batch: SiteBatch;
  readonly gradients: Tensors;
}

export async function openStudy(
  { plan, study, data }: Pick<OpenStudy, 'plan' | 'study' | 'data'>,
  engine: Engine,
  founders: readonly number[],
): Promise<OpenStudy> {
  const facts = poolFacts(plan, data, founders);
  return { plan, study, data, graphs: await Graphs.open(engine, study.graphs), facts };
}

/** What each site starts from: the study's seed, or its own secret. */
export function startOfSites({ plan, study }: OpenStudy, secretSeedOf: (site: number) => Uint8Array): Party[] {
  const { segment, head } = study.parts;
  return plan.sites.map((_, site) => {
    const seed = plan.choices.segmentSeed === 'site' ? secretSeedOf(site) : plan.seed;
    return { state: { ...initialState(segment, seed), ...(head ? initialState(head, seed) : {}) }, updates: 0 };
  });
}

export function startOfTrunk({ plan, study }: OpenStudy): Party {
  return { state: initialState(study.parts.trunk, plan.seed), updates: 0 };
}

/**
 * One server step: the sites' forward passes, the trunk's step with its update, the sites' backward passes without theirs. `delayed`: by
 * site the parameters of the forward and the backward pass, where they are not the site's present ones.
 */
export async function serverStep(
  open: OpenStudy,
  trunk: Party,
  sites: readonly Party[],
  batches: readonly SiteBatch[],
  rate: RatePlace,
  delayed: readonly Tensors[] = [],
): Promise<{ readonly loss: StepLoss; readonly gradients: readonly SiteGradients[] }> {
  const { plan, study, graphs, data, facts } = open;
  const records = batches.reduce((sum, { rows }) => sum + rows.length, 0);
  const masksAtSite = [...masksOf(study, 'segment'), ...masksOf(study, 'head')];
  const forwards: Tensors[] = [];
  for (const batch of batches) {
    const party = sites[batch.site] as Party;
    const { x, labels } = await load(plan, data, batch);
    const fed = {
      ...party.state,
      ...delayed[batch.site],
      x,
      ...dropoutMasks(plan.seed, masksAtSite, [maskPlace(batch)]),
    };
    const outputs = await graphs.run('segment-forward', fed);
    party.state = advance(party.state, outputs); // The running statistics.
    forwards.push({ ...fed, ...outputs, labels, weight: lossWeights(plan, facts.classWeights, labels, records) });
  }
  const feeds: Record<string, Tensor> = {
    cut: joined(forwards, 'cut'),
    hyper: nextHyper(open, trunk, rate, 1),
    target: facts.target,
    ...dropoutMasks(plan.seed, masksOf(study, 'trunk'), batches.map(maskPlace)),
  };
  const losses: Tensor[] = [];
  const headGradients: Tensors[] = [];
  let cutGradient: Tensor;
  if (plan.choices.labels === 'server') {
    const outputs = await graphs.run('trunk-step', {
      ...trunk.state,
      ...feeds,
      labels: joined(forwards, 'labels'),
      weight: joined(forwards, 'weight'),
    });
    trunk.state = advance(trunk.state, outputs);
    losses.push(...separate(outputs['loss'] as Tensor, batches));
    cutGradient = outputs['cut.gradient'] as Tensor;
  } else {
    const forward = await graphs.run('trunk-forward', { ...trunk.state, ...feeds });
    trunk.state = advance(trunk.state, forward);
    for (const [index, output] of separate(forward['output'] as Tensor, batches).entries()) {
      const outputs = await graphs.run('head-step', { ...forwards[index], output, target: facts.target });
      losses.push(outputs['loss'] as Tensor);
      headGradients.push(outputs);
    }
    const backward = await graphs.run('trunk-backward', {
      ...trunk.state,
      ...feeds,
      ...forward,
      'output.gradient': joined(headGradients, 'output.gradient'),
    });
    trunk.state = advance(trunk.state, backward);
    cutGradient = backward['cut.gradient'] as Tensor;
  }
  const gradients: SiteGradients[] = [];
  for (const [index, gradient] of separate(cutGradient, batches).entries()) {
    const feeds = { ...forwards[index], 'cut.gradient': gradient };
    const outputs = study.graphs['segment-learn'] ? feeds : await graphs.run('segment-backward', feeds);
    const ofHead = Object.entries(headGradients[index] ?? {}).filter(([name]) => /^head\.g\d+$/.test(name));
    gradients.push({
      batch: batches[index] as SiteBatch,
      gradients: { ...Object.fromEntries(ofHead), ...outputs },
    });
  }
  const siteLosses = batches.map(({ site }, index) => ({
    site,
    loss: weighted(losses[index] as Tensor, forwards[index]?.['weight'] as Tensor),
  }));
  return { loss: { epoch: batches[0]?.epoch ?? 0, sites: siteLosses }, gradients };
}

/** Applies gradients to what a site has, multiplied by `scale`. */
export async function updateSite(
  open: OpenStudy,
  party: Party,
  gradients: Tensors,
  rate: RatePlace,
  scale: number,
): Promise<void> {
  const hyper = nextHyper(open, party, rate, scale);
  const segment = open.study.graphs['segment-learn'] ? 'segment-learn' : 'segment-update';
  for (const graph of open.study.parts.head ? [segment, 'head-update'] : [segment]) {
    const outputs = await open.graphs.run(graph, { ...gradients, ...party.state, hyper });
    party.state = advance(party.state, outputs);
  }
}

/** The numbers of a party's next update. */
export function nextHyper({ plan }: OpenStudy, party: Party, rate: RatePlace, scale: number): Tensor {
  party.updates += 1;
  return hyperOf(plan.training, { ...rate, update: party.updates, scale });
}

function maskPlace({ site, epoch, index, rows }: SiteBatch): { place: number[]; rows: number } {
  return { place: [site, epoch, index], rows: rows.length };
}

function joined(values: readonly Tensors[], name: string): Tensor {
  return concatenate(values.map((value) => value[name] as Tensor));
}
