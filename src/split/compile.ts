// Network, cut, loss and optimizer become the graphs of a study. Every party compiles the same graphs from the same plan; their hashes
// are in it. All of them are standard ONNX operators.

import { differentiate, slotCount } from '../autodiff/index.ts';
import { ConfigError, EngineError } from '../base/index.ts';
import type { Network } from '../models/index.ts';
import { type Graph, GraphBuilder, inferTypes, withoutCopiedOutputs } from '../onnx/index.ts';
import type { Choices, LossKind, OptimizerSettings, Task } from '../protocol/index.ts';
import { keptValues } from './kept.ts';
import { layoutOf, openPart } from './layout.ts';
import type { MaskSpec } from './masks.ts';
import {
  addForward,
  addOpened,
  addPartUpdate,
  addStudyLoss,
  evaluationGraph,
  type Part,
  updateGraph,
  weightInputs,
} from './part-graphs.ts';
import { cutNetwork, extractNeeded } from './pieces.ts';

/** What decides a study's graphs. */
export interface CompileSettings {
  readonly network: Network;
  readonly choices: Pick<Choices, 'when' | 'labels' | 'segments'>;
  readonly loss: LossKind;
  readonly task: Task;
  readonly optimizer: OptimizerSettings;
  readonly clipNorm?: number | undefined;
  /** Steps that a site may have in flight. With more than one the backward pass takes other parameters than the update: they are graphs apart. */
  readonly windowSteps?: number;
}

/** The graphs of a study by name; docs/ARCHITECTURE.md says who runs which. */
export const graphNames = [
  'segment-forward',
  'segment-evaluate',
  'segment-learn',
  'segment-backward',
  'segment-update',
  'trunk-step',
  'trunk-forward',
  'trunk-backward',
  'trunk-evaluate',
  'head-step',
  'head-update',
  'head-evaluate',
] as const;
export type GraphName = (typeof graphNames)[number];

/** A network compiled for a study. */
export interface CompiledStudy {
  readonly network: Network;
  readonly parts: { readonly segment: Part; readonly trunk: Part; readonly head?: Part };
  readonly graphs: Readonly<Partial<Record<GraphName, Graph>>>;
  /** Values that stay at the engine between a forward and its backward graph. */
  readonly kept: { readonly segment: readonly string[]; readonly trunk: readonly string[] };
  readonly cutDims: readonly number[];
  readonly trunkOutputDims?: readonly number[];
  readonly outputDims: readonly number[];
}

/** The graph of that name. It is there when the study's choices need it. */
export function graphOf(study: CompiledStudy, name: GraphName): Graph {
  const graph = study.graphs[name];
  if (!graph) throw new EngineError('bad-graph', `this study has no graph ${name}`);
  return graph;
}

/** A part's dropout layers, in order. */
export function masksOf(study: CompiledStudy, part: 'segment' | 'trunk' | 'head'): readonly MaskSpec[] {
  return study.parts[part]?.masks ?? [];
}

/**
 * Compiles a study. Throws EngineError when the network cannot be cut there or an operator has no gradient rule, ConfigError when the
 * network does not fit loss, task or choices.
 */
export function compileStudy(settings: CompileSettings): CompiledStudy {
  const { network, choices } = settings;
  const uShape = choices.labels === 'site';
  const names = uShape ? ['segment', 'trunk', 'head'] : ['segment', 'trunk'];
  const slots = slotCount(settings.optimizer);
  const parts = cutNetwork(network, names, uShape ? [network.cut, network.headCut] : [network.cut]).map(
    (piece): Part => ({
      ...piece,
      layout: layoutOf(piece.parameters, piece.statistics, slots),
    }),
  );
  const [segment, trunk, head] = parts as [Part, Part, Part | undefined];
  checkNormalisation(settings, [segment, ...(head ? [head] : [])]);
  const types = inferTypes(network.graph);
  const dimsOf = (value: string): readonly number[] => {
    const [batch, ...dims] = types.get(value)?.dims ?? [];
    if (batch === undefined || typeof batch === 'number' || dims.some((dim) => typeof dim !== 'number')) {
      throw new EngineError(
        'bad-graph',
        `${network.name}: "${value}" must be [N, …] with fixed dimensions after the batch, it is [${[batch, ...dims].join(', ')}]`,
      );
    }
    return dims as number[];
  };
  const outputDims = dimsOf('y');
  checkOutput(settings, outputDims);
  const cutDims = dimsOf(network.cut);
  const trunkOutputDims = uShape ? dimsOf(network.headCut) : undefined;
  const cut = { name: 'cut', dims: cutDims };

  const graphs: Partial<Record<GraphName, Graph>> = {
    'segment-evaluate': evaluationGraph('segment-evaluate', segment, { name: 'x', dims: network.inputDims }, 'cut'),
    'trunk-evaluate': evaluationGraph('trunk-evaluate', trunk, cut, uShape ? 'output' : 'y'),
  };
  let keptSegment: readonly string[] = [];
  let keptTrunk: readonly string[] = [];
  if (choices.when !== 'detached') {
    const x = { name: 'x', dims: network.inputDims, gradient: false };
    const apart = choices.segments === 'mirrored' || (settings.windowSteps ?? 1) > 1;
    const both = forwardAndBackward(segment, x, { name: 'cut', dims: cutDims }, apart ? 'gradients' : settings);
    graphs['segment-forward'] = both.forward;
    if (apart) {
      graphs['segment-backward'] = both.backward;
      graphs['segment-update'] = updateGraph('segment-update', segment, settings);
    } else {
      graphs['segment-learn'] = { ...both.backward, name: 'segment-learn' };
    }
    keptSegment = both.kept;
  }
  if (head && trunkOutputDims) {
    const output = { name: 'output', dims: trunkOutputDims };
    const both = forwardAndBackward(trunk, { ...cut, gradient: true }, output, settings);
    graphs['trunk-forward'] = both.forward;
    graphs['trunk-backward'] = both.backward;
    keptTrunk = both.kept;
    graphs['head-step'] = lossStep('head-step', head, output, settings, 'gradients');
    graphs['head-update'] = updateGraph('head-update', head, settings);
    graphs['head-evaluate'] = evaluationGraph('head-evaluate', head, output, 'y');
  } else {
    graphs['trunk-step'] = lossStep(
      'trunk-step',
      trunk,
      cut,
      settings,
      choices.when === 'detached' ? 'update-only' : 'update',
    );
  }
  return {
    network,
    parts: { segment, trunk, ...(head ? { head } : {}) },
    graphs: Object.fromEntries(Object.entries(graphs).map(([name, graph]) => [name, withoutCopiedOutputs(graph)])),
    kept: { segment: keptSegment, trunk: keptTrunk },
    cutDims,
    ...(trunkOutputDims ? { trunkOutputDims } : {}),
    outputDims,
  };
}

/** The parts of a study whose parameters sites hold. */
export function partsOfSites({ parts }: Pick<CompiledStudy, 'parts'>): readonly Part[] {
  return parts.head ? [parts.segment, parts.head] : [parts.segment];
}

/**
 * The uncut network's training step as one graph, for comparison and replay: x, labels, weight → loss, and the parameters' next values.
 * Parts and names are a study's, so that a state can be carried over. `atSites`: the parts whose gradients a study adds up over sites; the
 * uncut network adds theirs up over records in the same precision.
 */
export function compileUncut(
  settings: Omit<CompileSettings, 'choices'>,
  atSites: readonly Part[],
): {
  readonly part: Part;
  readonly step: Graph;
  readonly evaluate: Graph;
} {
  const { network } = settings;
  const piece = cutNetwork(network, ['network'], [])[0] as Part;
  const part: Part = { ...piece, layout: layoutOf(piece.parameters, piece.statistics, slotCount(settings.optimizer)) };
  const x = { name: 'x', dims: network.inputDims };
  return {
    part,
    step: withoutCopiedOutputs(lossStep('network-step', part, x, settings, 'update-only', namesOf(atSites))),
    evaluate: evaluationGraph('network-evaluate', part, x, 'y'),
  };
}

interface Side {
  readonly name: string;
  readonly dims: readonly number[];
}

/**
 * A part whose gradient arrives from outside: its forward graph, its backward graph with the update in it or (`gradients`) its gradients put
 * out, and what stays between. Gradients of a part without one of its input, which is a site's, are added up over records in float64.
 */
function forwardAndBackward(
  part: Part,
  input: Side & { readonly gradient: boolean },
  output: Side,
  update: CompileSettings | 'gradients',
): { forward: Graph; backward: Graph; kept: readonly string[] } {
  const builder = new GraphBuilder(part.part);
  const from = builder.input(input.name, 'float32', ['N', ...input.dims]);
  const value = addForward(builder, part, from, 'training');
  const result = builder.output(value, output.name);
  const statistics = part.layout.statistics.map((_, index) => `${part.part}.r${index}.next`);
  const seed = builder.input(`${output.name}.gradient`, 'float32', ['N', ...output.dims]);
  const weights = weightInputs(part);
  const wrt = [...weights, ...(input.gradient ? [from] : [])];
  const inDouble = new Set(input.gradient ? [] : weights);
  const gradients = differentiate(builder, new Map([[value, seed]]), wrt, inDouble);
  const outputs: string[] = [];
  if (input.gradient) outputs.push(builder.output(gradients.get(from) as string, `${input.name}.gradient`));
  const own = weights.map((weight) => gradients.get(weight) as string);
  if (update !== 'gradients') {
    addPartUpdate(builder, part, update, own, builder.input('hyper', 'float32', [4]));
    part.layout.groups.forEach((_, index) => {
      outputs.push(`${part.part}.w${index}.next`);
      for (let slot = 0; slot < part.layout.slots; slot++) outputs.push(`${part.part}.w${index}.s${slot}.next`);
    });
  } else {
    own.forEach((gradient, index) => outputs.push(builder.output(gradient, `${part.part}.g${index}`)));
  }
  const whole = builder.build({ metadata: recordsOf(part) });
  const kept = keptValues(whole, [result, ...statistics], outputs);
  const inputs = whole.inputs.map((declared) => declared.name);
  return {
    forward: {
      ...extractNeeded(whole, { inputs, outputs: [result, ...statistics, ...kept] }),
      name: `${part.part}-forward`,
    },
    backward: { ...extractNeeded(whole, { inputs: [...inputs, ...kept], outputs }), name: `${part.part}-backward` },
    kept,
  };
}

function namesOf(parts: readonly Part[]): string[] {
  return parts.flatMap(({ parameters }) => parameters.map(({ name }) => name));
}

/**
 * A part that ends in the loss: forward, loss and backward in one graph, with the update in it or (`gradients`) its gradients put out.
 * `inDouble` names parameters whose gradients are added up over records in float64; those that are put out all are.
 */
function lossStep(
  name: string,
  part: Part,
  input: Side,
  settings: Omit<CompileSettings, 'choices'>,
  form: 'update' | 'update-only' | 'gradients',
  inDouble: readonly string[] = [],
): Graph {
  const builder = new GraphBuilder(name);
  const from = builder.input(input.name, 'float32', ['N', ...input.dims]);
  const parameters = openPart(builder, part.part, part.layout);
  const y = addOpened(builder, part, parameters, from, 'training');
  const seeds = addStudyLoss(builder, settings, y);
  const weights = weightInputs(part);
  const gradients = differentiate(
    builder,
    seeds,
    form === 'update-only' ? weights : [...weights, from],
    new Set(form === 'gradients' ? weights : inDouble.map((name) => parameters.get(name) as string)),
  );
  if (form !== 'update-only') builder.output(gradients.get(from) as string, `${input.name}.gradient`);
  const own = weights.map((weight) => gradients.get(weight) as string);
  if (form === 'gradients') own.forEach((gradient, index) => builder.output(gradient, `${part.part}.g${index}`));
  else addPartUpdate(builder, part, settings, own, builder.input('hyper', 'float32', [4]));
  return builder.build({ prune: true, metadata: recordsOf(part) });
}

/** Tells an engine that it may add records: one whose loss weight or incoming gradient is zero changes nothing, unless batch statistics see it. */
function recordsOf(part: Part): Record<string, string> {
  return part.layout.statistics.length === 0 ? { records: 'independent' } : {};
}

function checkNormalisation({ network, choices }: CompileSettings, atSites: readonly Part[]): void {
  const normalised = atSites.find((part) => part.statistics.length > 0);
  if (!normalised) return;
  const advice = 'use group normalisation, or cut elsewhere';
  if (choices.segments === 'mirrored' && choices.when !== 'detached') {
    throw new ConfigError(
      'combination-refused',
      `${network.name} has batch normalisation in the ${normalised.part}, and segments: mirrored needs the same segment at every site, but each site's batch statistics differ: ${advice}`,
    );
  }
  const loaded = network.statistics.every(({ init }) => init.kind === 'value');
  if (choices.when === 'detached' && !loaded) {
    throw new ConfigError(
      'combination-refused',
      `${network.name} has batch normalisation in the ${normalised.part}, which when: detached freezes before its statistics are known: ${advice}, or load trained weights`,
    );
  }
}

function checkOutput({ network, loss, task }: CompileSettings, outputDims: readonly number[]): void {
  const outputs = outputDims.length === 1 ? outputDims[0] : undefined;
  const problem = (expected: string) =>
    new ConfigError(
      'bad-study',
      `${network.name} puts out [N, ${outputDims.join(', ')}], but loss ${loss} with ${task.kind === 'classification' ? `${task.classes.length} classes` : 'regression'} needs ${expected}`,
    );
  const regression = loss === 'mse' || loss === 'rmsle';
  if (regression !== (task.kind === 'regression'))
    throw problem(regression ? 'a regression task' : 'a classification task');
  if (task.kind === 'classification' && loss === 'softmax-cross-entropy' && outputs !== task.classes.length)
    throw problem(`[N, ${task.classes.length}]`);
  if (
    loss === 'binary-cross-entropy' &&
    (outputs !== 1 || (task.kind === 'classification' && task.classes.length !== 2))
  ) {
    throw problem('[N, 1] and two classes');
  }
  if (regression && outputs !== 1) throw problem('[N, 1]');
}
