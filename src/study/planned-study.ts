// From a study to its plan. Server, site and run all come through here, so that they have the same plan and the same hash.

import { basename } from 'node:path';
import { ConfigError, EngineError } from '../base/index.ts';
import { describeInputs, targetOf } from '../data/index.ts';
import { namedNetwork } from '../models/index.ts';
import { readModel } from '../onnx/index.ts';
import type { LossKind, Plan, Task } from '../protocol/index.ts';
import { makePlan, type PlannedStudy, type PlanSettings } from '../split/index.ts';
import { optionsOf } from './network-options.ts';
import { defaultSiteNames, type Study } from './study-file.ts';

/** What the command line may say otherwise than the study file. */
export interface StudyOverrides {
  readonly seed?: number | undefined;
  readonly siteCount?: number | undefined;
  readonly ratio?: readonly number[] | undefined;
  readonly siteNames?: readonly string[] | undefined;
}

/** The sites of a study and the shares by which one machine's records are dealt among them. */
export interface SiteShares {
  readonly names: readonly string[];
  readonly ratio: readonly number[];
}

/**
 * Which sites take part, and in what ratio: as overridden, else as the study file says. Another number of sites than the file's has
 * equal shares and default names unless they are given too. Throws ConfigError `bad-usage` when the overrides contradict each other.
 */
export function siteSharesOf(study: Study, overrides: StudyOverrides = {}): SiteShares {
  const { siteCount, ratio, siteNames } = overrides;
  const count = siteCount ?? ratio?.length ?? siteNames?.length ?? study.sites.names.length;
  const problems: string[] = [];
  if (!Number.isSafeInteger(count) || count < 1) problems.push(`--sites is ${count}; expected 1 or more`);
  if (ratio !== undefined && ratio.length !== count)
    problems.push(`--ratio ${ratio.join(':')} has ${ratio.length} parts, but there are ${count} sites`);
  if (siteNames !== undefined && siteNames.length !== count)
    problems.push(`${siteNames.length} site names are given, but there are ${count} sites`);
  const { quorum } = study.sites;
  if (quorum && quorum.sites > count)
    problems.push(
      `the number of sites is ${count}, but ${study.placeOf(['sites', 'quorum'])}: sites.quorum is ${quorum.sites}`,
    );
  if (problems.length > 0) throw new ConfigError('bad-usage', problems);
  const asWritten = count === study.sites.names.length;
  return {
    names: siteNames ?? (asWritten ? study.sites.names : defaultSiteNames(count)),
    ratio: ratio ?? (asWritten ? study.sites.ratio : Array.from({ length: count }, () => 1)),
  };
}

/**
 * The shares by which a run deals its records. Throws ConfigError `bad-usage` as siteSharesOf does, and when the file's unequal shares
 * are for another number of sites and none are given: which share each would have is not for a program to guess. One site has all.
 */
export function dealtSharesOf(study: Study, overrides: StudyOverrides = {}): SiteShares {
  const shares = siteSharesOf(study, overrides);
  const { ratio } = study.sites;
  const count = shares.names.length;
  const unequal = ratio.some((share) => share !== ratio[0]);
  if (overrides.ratio === undefined && unequal && count !== ratio.length && count > 1) {
    const equal = Array.from({ length: count }, () => 1).join(':');
    throw new ConfigError(
      'bad-usage',
      `--sites ${count}: ${study.placeOf(['sites', 'ratio'])}: sites.ratio ${ratio.join(':')} is for ${ratio.length} sites; add --ratio with ${count} shares, ${equal} for equal ones`,
    );
  }
  return shares;
}

/** What the study's plan is made from. Throws ConfigError when network and data do not fit. */
export function planSettingsOf(study: Study, overrides: StudyOverrides = {}): PlanSettings {
  const { data, network, gives } = study;
  const task = taskOf(study);
  const options = optionsOf(network, data);
  return {
    study: study.name,
    seed: overrides.seed ?? study.seed,
    sites: [...siteSharesOf(study, overrides).names],
    quorum: study.sites.quorum,
    choices: study.choices,
    training: study.training,
    task,
    // Through JSON, so that what is left out is left out of the hash too.
    data: JSON.parse(JSON.stringify(data)) as Plan['data'],
    standardisedColumns: describeInputs(data).columns.length,
    minCount: data.minCount,
    trunkToSites: gives.trunkToSites,
    segmentsToServer: gives.segmentsToServer,
    network: {
      name: network.name ?? modelName(network.file),
      options,
      loss: network.loss ?? defaultLoss(task, outputsOf(study, options)),
      // The refusal of an empty name lists where the model can be cut.
      cut: network.cut ?? (network.file === undefined ? undefined : ''),
      headCut: network.headCut,
      file: network.model,
      start: network.startModel,
    },
  };
}

/**
 * The study's plan and compiled graphs. The same study and overrides give the same plan on every machine. Throws ConfigError with the
 * study file's line when network, data and choices do not fit together, EngineError when the network cannot be cut or differentiated.
 */
export function planOf(study: Study, overrides: StudyOverrides = {}): PlannedStudy {
  return placing(study, () => {
    const planned = makePlan(planSettingsOf(study, overrides));
    const { inputDims } = planned.plan.network;
    const { dims, columns } = describeInputs(study.data);
    if (dims.join() !== inputDims.join()) {
      const has =
        columns.length > 0
          ? `${columns.length} columns (${columns.map(({ name }) => name).join(', ')})`
          : `[${dims.join(', ')}]`;
      throw new ConfigError('bad-study', `network takes [${inputDims.join(', ')}], but the data give ${has}`);
    }
    return planned;
  });
}

function taskOf({ data, threshold }: Study): Task {
  const target = targetOf(data);
  if (target.kind === 'regression') return { kind: 'regression', target: target.column, unit: target.unit };
  const { classes, positive } = target;
  return {
    kind: 'classification',
    classes: [...classes],
    ...(positive === undefined ? {} : { positive }),
    threshold: threshold ?? 0.5,
  };
}

/** The numbers that the network puts out for a record; undefined when its file does not say. */
function outputsOf({ network, placeOf }: Study, options: Readonly<Record<string, number>>): number | undefined {
  for (const [key, given, content] of [
    ['file', network.file, network.model],
    ['start', network.start, network.startModel],
  ] as const) {
    if (given !== undefined && content === undefined)
      throw new ConfigError('bad-study', `${placeOf(['network', key])}: network.${key} was not read: use readStudy`);
  }
  const graph = network.model ? readModel(network.model.bytes) : namedNetwork(network.name ?? '', options).graph;
  const last = graph.outputs[0]?.dims.at(-1);
  return typeof last === 'number' ? last : undefined;
}

function defaultLoss(task: Task, outputs: number | undefined): LossKind {
  if (task.kind === 'regression') return 'mse';
  return outputs === 1 ? 'binary-cross-entropy' : 'softmax-cross-entropy';
}

function modelName(file: string | undefined): string {
  return basename(file ?? '').replace(/\.onnx$/i, '') || 'model';
}

/** Gives the file's line to problems that the plan's making finds. */
function placing<T>(study: Study, make: () => T): T {
  const place = (problem: string) =>
    problem.startsWith(study.fileName) ? problem : `${study.placeOf([sectionOf(problem)])}: ${problem}`;
  try {
    return make();
  } catch (error) {
    if (error instanceof ConfigError && error.code !== 'bad-usage')
      throw new ConfigError(error.code as 'bad-study', error.problems.map(place), { cause: error });
    if (error instanceof EngineError) throw new ConfigError('bad-study', place(error.message), { cause: error });
    throw error;
  }
}

function sectionOf(problem: string): string {
  if (problem.startsWith('training.')) return 'training';
  return problem.startsWith('when:') ? 'choices' : 'network';
}
