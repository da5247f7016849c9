// A whole study inside the test's process: the real server, agents, sessions and engines, over the memory transport or WebSockets.

import { setMaxListeners } from 'node:events';
import { systemClock } from '../../src/base/node/index.ts';
import type { OpenedData } from '../../src/data/index.ts';
import type { Engine } from '../../src/engine/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { type Choices, partsAtSite, type Plan, stateTensors } from '../../src/protocol/index.ts';
import { type ServerOptions, type ServerResult, type StepReport, StudyServer } from '../../src/server/index.ts';
import { SiteAgent, type SiteEvent, type SiteResult } from '../../src/site/index.ts';
import { type PlannedStudy, makePlan, type PlanSettings } from '../../src/split/index.ts';
import { type Commit, createMemoryActivationStore, createMemoryCommitStore } from '../../src/store/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import { type Connection, createMemoryListener, type Listener } from '../../src/transport/index.ts';
import { randomRecords } from './records.ts';

/** What a test varies; the rest is small and fixed. */
export interface TestStudy {
  readonly network?: PlanSettings['network'];
  readonly task?: Plan['task'];
  readonly choices?: Partial<Choices>;
  readonly training?: Partial<Plan['training']>;
  readonly seed?: number;
  readonly quorum?: PlanSettings['quorum'];
  /** Training records of each site; validation and test parts have a quarter each. */
  readonly counts?: readonly number[];
}

export const regression: Plan['task'] = { kind: 'regression', target: 'ldl', unit: 'mg/dL' };
export const twoClasses: Plan['task'] = {
  kind: 'classification',
  classes: ['no', 'yes'],
  positive: 'yes',
  threshold: 0.5,
};
export const mlp: PlanSettings['network'] = { name: 'lipid-mlp', options: { inputs: 7 }, loss: 'mse' };
export const smallCnn: PlanSettings['network'] = {
  name: 'ct-cnn',
  options: { size: 16, dropout: 0.5 },
  loss: 'softmax-cross-entropy',
};

/** The plan and the records of a test's study. */
export function planStudy(test: TestStudy = {}): PlannedStudy & { readonly data: readonly OpenedData[] } {
  const counts = test.counts ?? [70, 20, 10];
  const network = test.network ?? mlp;
  const task = test.task ?? (network.loss === 'mse' || network.loss === 'rmsle' ? regression : twoClasses);
  const planned = makePlan({
    study: 'test',
    seed: test.seed ?? 1,
    sites: counts.map((_, site) => String.fromCharCode(65 + site)),
    quorum: test.quorum,
    choices: {
      when: 'live',
      labels: 'server',
      order: 'union',
      trunk: 'shared',
      segments: 'mirrored',
      segmentSeed: 'study',
      ...test.choices,
    },
    training: {
      batch: 20,
      epochs: 2,
      learningRate: 0.01,
      optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 },
      schedule: { kind: 'constant', warmupSteps: 0 },
      sampling: 'proportional',
      turnOrder: 'fixed',
      classWeights: 'none',
      augmentPasses: 0,
      select: 'best-val',
      ...test.training,
    },
    network,
    task,
    data: {},
    standardisedColumns: network.name === 'lipid-mlp' ? 7 : 0,
    minCount: 1,
    trunkToSites: true,
    segmentsToServer: true,
  });
  const data = counts.map((train, site) =>
    randomRecords({
      seed: test.seed ?? 1,
      site,
      counts: { train, val: Math.ceil(train / 4), test: Math.ceil(train / 4) },
      dims: planned.plan.network.inputDims,
      classCount: task.kind === 'classification' ? task.classes.length : 0,
    }),
  );
  return { ...planned, data };
}

export interface StudyOutcome {
  readonly server: ServerResult;
  readonly sites: readonly SiteResult[];
  /** `order: arrival`: the site of each step, in order. */
  readonly log: readonly OrderEntry[];
  /** Every server step as the server told of it, and the server's commit at the end of each epoch. */
  readonly steps: readonly StepReport[];
  readonly commits: readonly Commit[];
  /** Every step of each site as the site told of it. */
  readonly siteSteps: readonly (readonly SiteStep[])[];
  /** What each site's engine holds of its parts at the end: parameters and statistics as selected, optimizer slots as last updated. */
  readonly siteStates: readonly Readonly<Record<string, Tensor>>[];
}

export interface OrderEntry {
  readonly epoch: number;
  readonly site: number;
  readonly step: number;
}

export type SiteStep = SiteEvent & { readonly kind: 'step' };

/** What a study in this process runs on. */
export interface Surroundings {
  readonly listener: Listener;
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly openEngine: (role: 'server' | 'site') => Promise<Engine>;
}

function inMemory(): Surroundings {
  const listener = createMemoryListener();
  return {
    listener,
    connect: async () => listener.connect(),
    openEngine: () => openEngine({ placement: 'inline', threads: 1 }),
  };
}

/** Runs a planned study in this process: in memory unless told otherwise. */
export async function runInMemory(
  { plan, study, data }: PlannedStudy & { readonly data: readonly OpenedData[] },
  options: Partial<ServerOptions> = {},
  { listener, connect, openEngine: open }: Surroundings = inMemory(),
): Promise<StudyOutcome> {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal); // All parties of the study listen to it.
  const clock = systemClock;
  const engines = await Promise.all([open('server'), ...plan.sites.map(() => open('site'))]);
  const steps: StepReport[] = [];
  const commits: Commit[] = [];
  const store = createMemoryCommitStore();
  const log: OrderEntry[] = [];
  const siteSteps: SiteStep[][] = plan.sites.map(() => []);
  try {
    const server = new StudyServer({
      plan,
      study,
      engine: engines[0],
      listener,
      clock,
      signal: abort.signal,
      timeoutMs: 20_000,
      ...(plan.choices.when === 'detached' ? { activations: createMemoryActivationStore(plan.network.cutDims) } : {}),
      logOrder: async (entry) => void log.push(entry),
      ...options,
      commits: {
        ...store,
        list: (name) => store.list(name),
        read: (name, index) => store.read(name, index),
        latest: (name) => store.latest(name),
        write: async (name, commit) => {
          commits.push(commit);
          await store.write(name, commit);
        },
      },
      onEvent: (event) => {
        if (event.kind === 'step') steps.push(event.report);
        options.onEvent?.(event);
      },
    });
    const agents = plan.sites.map(
      (_, index) =>
        new SiteAgent({
          plan,
          study,
          index,
          data: data[index]!,
          engine: engines[index + 1]!,
          connect,
          clock,
          signal: abort.signal,
          timeoutMs: 20_000,
          secretSeed: secretSeedOf(index),
          onEvent: (event) => {
            if (event.kind === 'step') siteSteps[index]?.push(event);
          },
        }),
    );
    const all = Promise.all([server.run(), ...agents.map((agent) => agent.run())]);
    all.catch((error: unknown) => abort.abort(error));
    const [result, ...sites] = await all;
    const names = partsAtSite(plan).flatMap((part) =>
      stateTensors(part, plan.layouts[part]!, true).map((spec) => spec.name),
    );
    const siteStates = await Promise.all(engines.slice(1).map((engine) => engine.get(names)));
    return { server: result, sites, log, steps, commits, siteSteps, siteStates };
  } finally {
    abort.abort();
    await Promise.all(engines.map((engine) => engine.close()));
  }
}

/** The secret from which a site's segment starts with `segmentSeed: site`. */
export function secretSeedOf(site: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, byte) => 17 * site + byte);
}
