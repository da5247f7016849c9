// From what a study file says to its plan: the network is compiled, and everything that follows from it (shapes, layouts, hashes, what
// each message costs, who learns what) is written down. A site that holds the plan compiles the same graphs again.

import { ConfigError } from '../base/index.ts';
import {
  cutAt,
  cutsWithHead,
  graphBytesMax,
  namedNetwork,
  type Network,
  networkFromModel,
  startFromModel,
} from '../models/index.ts';
import { graphHash, memoryBound, readModel } from '../onnx/index.ts';
import {
  checkChoices,
  type LossKind,
  partsAtSite,
  type Plan,
  serverKnowsSegment,
  windowOf,
  withQueue,
} from '../protocol/index.ts';
import { elementCount } from '../tensor/index.ts';
import { type CompiledStudy, compileStudy } from './compile.ts';

/** What a plan is made from: the plan's own fields, less those that follow from the network. */
export type PlanSettings = Pick<
  Plan,
  | 'study'
  | 'seed'
  | 'sites'
  | 'choices'
  | 'training'
  | 'task'
  | 'data'
  | 'standardisedColumns'
  | 'minCount'
  | 'trunkToSites'
  | 'segmentsToServer'
> & {
  /** Fewer sites than all, with which the study goes on when the others stay away for so long. */
  readonly quorum?: { readonly sites: number; readonly stragglerTimeoutMs: number } | undefined;
  readonly network: {
    readonly name: string;
    readonly options: Plan['network']['options'];
    readonly loss: LossKind;
    /** Where to cut, and where the head begins; default: the network's own. */
    readonly cut?: string | undefined;
    readonly headCut?: string | undefined;
    /** The bytes of the user's .onnx file, and their SHA-256. */
    readonly file?: { readonly bytes: Uint8Array; readonly sha256: string } | undefined;
    /** The same of an .onnx file whose weights a named network starts from; what it does not have starts from the seed. */
    readonly start?: { readonly bytes: Uint8Array; readonly sha256: string } | undefined;
  };
};

/** A plan with the study that it describes. */
export interface PlannedStudy {
  readonly plan: Plan;
  readonly study: CompiledStudy;
}

/** Compiles the network and completes the plan. Throws ConfigError or EngineError that says what does not fit. */
export function makePlan(settings: PlanSettings): PlannedStudy {
  checkChoices(settings.choices);
  if (settings.training.batch < settings.sites.length && settings.choices.order === 'union') {
    throw new ConfigError(
      'bad-study',
      `training.batch is ${settings.training.batch}, but there are ${settings.sites.length} sites: a step takes at least one record a site`,
    );
  }
  const network = networkOf(settings.network);
  requireTrunk(network, settings.choices.labels);
  const { choices, task, quorum } = settings;
  const training = withQueue(settings.training, choices);
  const { loss } = settings.network;
  const study = compileStudy({
    network,
    choices,
    loss,
    task,
    optimizer: training.optimizer,
    clipNorm: training.clipNorm,
    windowSteps: windowOf({ training }),
  });
  if (settings.network.file) requireMemory(settings.network.name, study, training.batch);
  const { segment, trunk, head } = study.parts;
  const plan: Plan = {
    format: 1,
    study: settings.study,
    seed: settings.seed,
    sites: [...settings.sites],
    ...(quorum && quorum.sites < settings.sites.length
      ? { quorum: quorum.sites, stragglerTimeoutMs: quorum.stragglerTimeoutMs }
      : {}),
    choices,
    network: {
      name: settings.network.name,
      options: settings.network.options,
      ...(settings.network.file ? { file: settings.network.file.sha256 } : {}),
      ...(settings.network.start ? { start: settings.network.start.sha256 } : {}),
      inputDims: [...network.inputDims],
      cut: network.cut,
      cutDims: [...study.cutDims],
      ...(study.trunkOutputDims ? { headCut: network.headCut, trunkOutputDims: [...study.trunkOutputDims] } : {}),
      outputDims: [...study.outputDims],
      loss,
    },
    training,
    task,
    data: settings.data,
    standardisedColumns: settings.standardisedColumns,
    minCount: settings.minCount,
    layouts: { segment: segment.layout, trunk: trunk.layout, ...(head ? { head: head.layout } : {}) },
    graphs: Object.fromEntries(Object.entries(study.graphs).map(([name, graph]) => [name, graphHash(graph)])),
    trunkToSites: settings.trunkToSites,
    segmentsToServer: settings.segmentsToServer,
    statements: [],
    leaves: [],
  };
  return { plan: { ...plan, statements: statementsOf(plan), leaves: leavesOf(plan) }, study };
}

/** The network that settings name, cut where they say. */
function networkOf(settings: PlanSettings['network']): Network {
  const { name, options, cut, headCut, file, start } = settings;
  if (file) {
    if (cut === undefined) throw new ConfigError('bad-study', `network ${name}: say where to cut it (network.cut)`);
    return networkFromModel(readModel(file.bytes), { cut, ...(headCut === undefined ? {} : { headCut }) });
  }
  const seeded = namedNetwork(name, options);
  const network = start ? startFromModel(seeded, readModel(start.bytes), { partial: true }) : seeded;
  return cutAt(network, { cut, headCut });
}

/** A user's network must be one that a machine can train: its graphs are made from the file's sizes. Throws ConfigError. */
function requireMemory(name: string, { graphs }: CompiledStudy, batch: number): void {
  for (const [graph, content] of Object.entries(graphs)) {
    const bytes = memoryBound(content, { N: batch });
    if (bytes <= graphBytesMax) continue;
    throw new ConfigError(
      'bad-study',
      `network ${name}: ${graph} could take ${Math.ceil(bytes / 2 ** 30)} GiB on a batch of ${batch} records; at most ${graphBytesMax / 2 ** 30} GiB are allowed: use a smaller batch or network`,
    );
  }
}

/** With the labels at the sites there must be a trunk between the cut and the head. Throws ConfigError. */
function requireTrunk(network: Network, labels: Plan['choices']['labels']): void {
  const { name, cut, headCut } = network;
  if (labels !== 'site' || cut !== headCut) return;
  const earlier = cutsWithHead(network);
  throw new ConfigError(
    'bad-study',
    `network ${name}: after the cut at "${cut}" too little is left for a trunk and a head, which labels: site needs; ${earlier.length > 0 ? `cut at ${earlier.join(', ')}, or set` : 'set'} labels: server`,
  );
}

/** Who learns what, in plain words: shown before a site takes part. */
function statementsOf(plan: Plan): string[] {
  const { choices, training } = plan;
  const statements: string[] = [];
  const origin = plan.network.file || plan.network.start ? 'model file' : 'study seed';
  statements.push(
    choices.when === 'detached'
      ? `Each record's activations leave once for each of ${training.augmentPasses + 1} passes; no gradient returns.`
      : `Each training record's activations leave once an epoch, for ${training.epochs} epochs; a cut gradient returns for each.`,
  );
  if (choices.when === 'buffered')
    statements.push(
      `A site is at most ${windowOf(plan)} steps ahead of the cut gradients that it has; the server holds no more of its activations than that.`,
    );
  statements.push(
    choices.labels === 'server'
      ? 'Labels (diagnoses or target values) leave with the activations; with validation and test records also an opaque group number.'
      : 'Labels do not leave. Record counts, loss sums and score histograms by class do, once an epoch.',
  );
  statements.push('Record and class counts of each part, and sums of the numeric columns, leave once before training.');
  if (choices.segments === 'mirrored' && choices.when === 'detached')
    statements.push(`The server knows the frozen segment: it follows from the ${origin}.`);
  else if (choices.segments === 'mirrored')
    statements.push('The server knows the segment: it sees the gradient of its parameters at every step.');
  else if (serverKnowsSegment(choices))
    statements.push('The server knows the segment: the sites send it to be averaged or passed on.');
  else if (choices.segmentSeed === 'study')
    statements.push(`The server knows the segment at its start (it follows from the ${origin}), not as it is trained.`);
  else statements.push('The segment starts from a secret of the site; the server never learns it.');
  if (choices.labels === 'site' && serverKnowsSegment(choices)) {
    statements.push(
      'The server knows the head too: it can compute label counts of a step, and look labels up from the histograms.',
    );
  }
  if (plan.segmentsToServer && !serverKnowsSegment(choices))
    statements.push('Each site sends its segment to the server at the end.');
  if (plan.trunkToSites) statements.push('Each site receives the trunk at the end.');
  return statements;
}

/** What leaves and comes back, in bytes of tensors. */
function leavesOf(plan: Plan): Plan['leaves'] {
  const { choices } = plan;
  const cut = 4 * elementCount(plan.network.cutDims);
  const label = choices.labels === 'server' ? 4 : 0;
  const leaves: Plan['leaves'] = [{ kind: 'activations', direction: 'up', bytes: cut + label, per: 'record' }];
  const gradients = partsAtSite(plan).reduce(
    (sum, part) =>
      sum + (plan.layouts[part]?.groups ?? []).reduce((bytes, group) => bytes + 8 * elementCount(group.dims), 0),
    0,
  );
  if (choices.when !== 'detached') leaves.push({ kind: 'cut-gradient', direction: 'down', bytes: cut, per: 'record' });
  if (plan.network.trunkOutputDims && choices.labels === 'site') {
    const output = 4 * elementCount(plan.network.trunkOutputDims);
    leaves.push(
      { kind: 'trunk-output', direction: 'down', bytes: output, per: 'record' },
      { kind: 'output-gradient', direction: 'up', bytes: output, per: 'record' },
    );
  }
  if (choices.segments === 'mirrored' && choices.when !== 'detached') {
    leaves.push(
      { kind: 'parameter-gradient', direction: 'up', bytes: gradients, per: 'message' },
      { kind: 'gradient-sum', direction: 'down', bytes: gradients, per: 'message' },
    );
  }
  return leaves;
}
