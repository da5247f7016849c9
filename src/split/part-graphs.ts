// The pieces from which the graphs of a study are put together: a part's parameters as inputs, its forward pass, its loss, its update.
// Names of inputs and outputs are the same in every graph, so that a runner can bind them without knowing which graph it runs:
//   PART.w0, PART.r0, PART.w0.s0   parameters, running statistics, optimizer slots      ….next   the values after the step
//   PART.g0                        gradients of PART.w0: float64 sums over records, rounded to float32 where they are applied
//   x, cut, output                 the network's input, the activations, the trunk's output; cut.gradient, output.gradient
//   labels, weight, target         class index int32 [N] or float32 [N]; loss weight [N]; [mean, sd] of a regression target
//   hyper                          learning rate, Adam's corrections, gradient scale (autodiff's hyperValues)

import { addLoss, addUpdate } from '../autodiff/index.ts';
import { type Graph, GraphBuilder, inline } from '../onnx/index.ts';
import {
  type LossKind,
  type OptimizerSettings,
  type ParameterGroup,
  type PartLayout,
  positiveIndex,
  type Task,
} from '../protocol/index.ts';
import { openPart } from './layout.ts';
import type { Piece } from './pieces.ts';

/** One part of the network with its layout. */
export interface Part extends Piece {
  readonly layout: PartLayout;
}

/** Adds a part's forward pass in training or inference form from the value `input`. Returns its output's name. */
export function addForward(builder: GraphBuilder, part: Part, input: string, form: 'training' | 'inference'): string {
  return addOpened(builder, part, openPart(builder, part.part, part.layout), input, form);
}

/** `addForward` for a part whose parameters and statistics are the given values, by their own names. */
export function addOpened(
  builder: GraphBuilder,
  part: Part,
  parameters: ReadonlyMap<string, string>,
  input: string,
  form: 'training' | 'inference',
): string {
  const bindings = new Map(parameters);
  bindings.set(part.input, input);
  const graph = form === 'training' ? part.training : part.inference;
  for (const mask of form === 'training' ? part.masks : [])
    bindings.set(mask.name, builder.input(mask.name, 'bool', ['N', ...mask.dims]));
  const outputs = inline(builder, graph, bindings);
  if (form === 'training' && part.layout.statistics.length > 0) {
    part.layout.statistics.forEach((group, index) => {
      const next = group.members.map(
        ({ name }) => outputs.get(part.nextStatistics.get(name) ?? '') ?? parameters.get(name) ?? '',
      );
      builder.output(packed(builder, group, next), `${part.part}.r${index}.next`);
    });
  }
  return outputs.get(part.output) as string;
}

/** The names of the tensors that hold a part's parameters. */
export function weightInputs(part: Part): readonly string[] {
  return part.layout.groups.map((_, index) => `${part.part}.w${index}`);
}

/** What decides a loss. */
export interface LossSettings {
  readonly loss: LossKind;
  readonly task: Task;
}

/**
 * Adds the loss of the network's output `y` and returns the seed of its gradient: that of a step's loss by each record's is the record's weight.
 * Declares labels, weight and (regression) target; `loss` is an output.
 */
export function addStudyLoss(builder: GraphBuilder, { loss, task }: LossSettings, y: string): Map<string, string> {
  const classes = task.kind === 'classification';
  const labels = builder.input('labels', classes ? 'int32' : 'float32', ['N']);
  const weight = builder.input('weight', 'float32', ['N']);
  const { perRecord } = addLoss(builder, loss, { prediction: y, weight, ...targetOf(builder, loss, task, labels) });
  builder.output(perRecord, 'loss');
  return new Map([[perRecord, weight]]);
}

function targetOf(
  builder: GraphBuilder,
  loss: LossKind,
  task: Task,
  labels: string,
): { target: string; mean?: string; stdDev?: string } {
  if (loss === 'softmax-cross-entropy')
    return { target: builder.add('Cast', [labels], { to: { kind: 'int', value: 7 } }) };
  if (task.kind === 'classification') {
    const positive = builder.constant({ dtype: 'int32', dims: [], data: Int32Array.of(positiveIndex(task)) });
    return {
      target: builder.add('Cast', [builder.add('Equal', [labels, positive])], { to: { kind: 'int', value: 1 } }),
    };
  }
  const target = builder.input('target', 'float32', [2]);
  const [mean, stdDev] = builder.split(target, 0, [1, 1]) as [string, string];
  if (loss === 'rmsle') return { target: labels, mean, stdDev };
  return { target: builder.add('Div', [builder.add('Sub', [labels, mean]), stdDev]) };
}

/** The optimizer's part of a plan. */
export interface UpdateSettings {
  readonly optimizer: OptimizerSettings;
  readonly clipNorm?: number | undefined;
}

/** Adds the update of a part whose gradients are the given values, and its outputs. Parameters are graph inputs already. */
export function addPartUpdate(
  builder: GraphBuilder,
  part: Part,
  settings: UpdateSettings,
  gradients: readonly string[],
  hyper: string,
): void {
  const groups = part.layout.groups.map((group, index) => {
    const parameter = `${part.part}.w${index}`;
    const slots = Array.from({ length: part.layout.slots }, (_, slot) =>
      builder.input(`${parameter}.s${slot}`, 'float32', group.dims),
    );
    return { parameter, gradient: gradients[index] as string, slots };
  });
  // Only a site's cut gradient is of another mean than its update is.
  const unscaled = part.part === 'trunk' || part.part === 'network';
  const { optimizer, clipNorm } = settings;
  addUpdate(builder, optimizer, groups, hyper, { clipNorm, unscaled }).forEach((updated, index) => {
    builder.output(updated.parameter, `${part.part}.w${index}.next`);
    updated.slots.forEach((slot, place) => builder.output(slot, `${part.part}.w${index}.s${place}.next`));
  });
}

/** A graph that only updates a part: gradients in, parameters and slots in and out. Each parameter is read where it is overwritten and nowhere later. */
export function updateGraph(name: string, part: Part, settings: UpdateSettings): Graph {
  const builder = new GraphBuilder(name);
  part.layout.groups.forEach((group, index) => builder.input(`${part.part}.w${index}`, 'float32', group.dims));
  const gradients = part.layout.groups.map((group, index) =>
    builder.input(`${part.part}.g${index}`, 'float64', group.dims),
  );
  addPartUpdate(builder, part, settings, gradients, builder.input('hyper', 'float32', [4]));
  return builder.build({ prune: true });
}

/** A graph of a part's inference form alone. */
export function evaluationGraph(
  name: string,
  part: Part,
  input: { name: string; dims: readonly number[] },
  output: string,
): Graph {
  const builder = new GraphBuilder(name);
  const value = addForward(builder, part, builder.input(input.name, 'float32', ['N', ...input.dims]), 'inference');
  builder.output(value, output);
  return builder.build({ prune: true });
}

function packed(builder: GraphBuilder, group: ParameterGroup, members: readonly string[]): string {
  if (members.length === 1) return members[0] as string;
  const flat = members.map((member) => builder.add('Reshape', [member, builder.integers([-1])]));
  return builder.add('Concat', flat, { axis: { kind: 'int', value: 0 } });
}
