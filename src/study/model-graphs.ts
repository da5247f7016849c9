// The graphs that a study leaves: its parts as they were trained, and the joined one that takes what a user has and gives what a user
// wants. All are inference graphs of standard operators with their parameters as initializers.

import { assert } from '../base/index.ts';
import { describeInputs, type InputDescription, parseDataSettings } from '../data/index.ts';
import { type Graph, GraphBuilder, inline, int } from '../onnx/index.ts';
import { type Plan, positiveIndex } from '../protocol/index.ts';
import { type CompiledStudy, valuesFrom } from '../split/index.ts';
import { float32, tensor, type Tensor } from '../tensor/index.ts';

/** A trained network: the parts' state tensors by name, as server and sites have them at the end. */
export interface TrainedStudy {
  readonly plan: Plan;
  readonly study: CompiledStudy;
  readonly trunk: Readonly<Record<string, Tensor>>;
  /** The segment's, and with a head at the sites the head's too. */
  readonly segment: Readonly<Record<string, Tensor>>;
  /** [mean, sd] of each standardised column, and of a regression target last. */
  readonly standardisation: readonly (readonly [number, number])[];
}

/** The model folder's graphs. */
export interface ModelGraphs {
  /** `x` `[N, ...inputDims]`, standardised → `cut`. */
  readonly segment: Graph;
  /** `cut` → `y` (logits or z); with a head at the sites → `output`. */
  readonly trunk: Graph;
  /** `output` → `y`. */
  readonly head?: Graph;
  /**
   * `x`: raw columns in their units, NaN where a number is missing, or pixels of 0 … 1 of the declared size. → `probabilities`
   * `[N, classes]`, or `prediction` `[N, 1]` in the target's unit. float32.
   */
  readonly joined: Graph;
}

type PartName = 'segment' | 'trunk' | 'head';
type Values = ReadonlyMap<PartName, ReadonlyMap<string, Tensor>>;

/** The graphs of a trained study. */
export function modelGraphs(trained: TrainedStudy): ModelGraphs {
  const { plan, study, trunk, segment } = trained;
  const { head } = study.parts;
  const values: Values = new Map([
    ['segment', valuesFrom('segment', plan.layouts.segment, segment)],
    ['trunk', valuesFrom('trunk', plan.layouts.trunk, trunk)],
    ...(plan.layouts.head ? [['head', valuesFrom('head', plan.layouts.head, segment)] as const] : []),
  ]);
  const { inputDims, cutDims, trunkOutputDims } = plan.network;
  const between = head ? 'output' : 'y';
  return {
    segment: partGraph(study, values, 'segment', { name: 'x', dims: inputDims }, 'cut'),
    trunk: partGraph(study, values, 'trunk', { name: 'cut', dims: cutDims }, between),
    ...(head ? { head: partGraph(study, values, 'head', { name: 'output', dims: trunkOutputDims ?? [] }, 'y') } : {}),
    joined: joinedGraph(trained, values),
  };
}

function partGraph(
  study: CompiledStudy,
  values: Values,
  part: PartName,
  input: { readonly name: string; readonly dims: readonly number[] },
  output: string,
): Graph {
  const builder = new GraphBuilder(part);
  builder.reserve([input.name, output]);
  const from = builder.input(input.name, 'float32', ['N', ...input.dims]);
  builder.output(addPart(builder, study, values, part, from), output);
  return builder.build({ prune: true });
}

/** Adds a part of the network with its parameters as initializers. Returns its output's name. */
function addPart(builder: GraphBuilder, study: CompiledStudy, values: Values, part: PartName, input: string): string {
  const compiled = study.parts[part];
  assert(compiled, `the study has a ${part}`);
  const bindings = new Map([[compiled.input, input]]);
  for (const { name } of [...compiled.parameters, ...compiled.statistics]) {
    const value = values.get(part)?.get(name);
    assert(value, `${part} has a value for ${name}`);
    bindings.set(name, builder.initializer(builder.fresh(name), value));
  }
  return inline(builder, compiled.inference, bindings).get(compiled.output) as string;
}

function joinedGraph({ plan, study, standardisation }: TrainedStudy, values: Values): Graph {
  const description = describeInputs(parseDataSettings(plan.data));
  const { task } = plan;
  const output = task.kind === 'classification' ? 'probabilities' : 'prediction';
  const builder = new GraphBuilder(plan.study);
  builder.reserve(['x', output]);
  let value = builder.input('x', 'float32', ['N', ...plan.network.inputDims]);
  value =
    description.columns.length > 0
      ? addStandardisation(builder, value, description, standardisation)
      : addPixelScaling(builder, value, description);
  for (const part of ['segment', 'trunk', ...(study.parts.head ? ['head'] : [])] as PartName[])
    value = addPart(builder, study, values, part, value);
  const wide = builder.add('Cast', [value], { to: int(onnxDouble) });
  const [mean, sd] = standardisation.at(-1) ?? [0, 1];
  const result =
    task.kind === 'classification'
      ? addProbabilities(builder, wide, plan)
      : addPrediction(builder, wide, mean, sd, plan.network.loss === 'rmsle');
  builder.output(builder.add('Cast', [result], { to: int(onnxFloat) }), output);
  return builder.build({ prune: true, metadata: metadataOf(plan, description) });
}

// ONNX's numbers for element types. Scaling and probabilities are computed in float64 as Septum computes them: in float32 a column whose
// mean is far above its spread, or a small probability, would lose digits.
const onnxFloat = 1;
const onnxBool = 9;
const onnxDouble = 11;

function double(builder: GraphBuilder, data: readonly number[], dims: readonly number[] = [data.length]): string {
  return builder.constant(tensor('float64', dims, Float64Array.from(data)));
}

/** (value - mean) / sd of every column; a missing number becomes 0, the mean, and sets the column's indicator if it has one. */
function addStandardisation(
  builder: GraphBuilder,
  x: string,
  { columns }: InputDescription,
  standardisation: readonly (readonly [number, number])[],
): string {
  const moments = columns.map((_, column) => standardisation[column] ?? ([0, 1] as const));
  const wide = builder.add('Cast', [x], { to: int(onnxDouble) });
  const means = double(
    builder,
    moments.map(([mean]) => mean),
  );
  const centred = builder.add('Sub', [wide, means]);
  const scaled = builder.add('Div', [
    centred,
    double(
      builder,
      moments.map(([, sd]) => sd),
    ),
  ]);
  const missing = builder.add('IsNaN', [wide]);
  let value = builder.add('Where', [missing, double(builder, [0]), scaled]);
  const indicators = columns.flatMap((column, to) => {
    const from = columns.findIndex((other) => other.kind === 'number' && other.source === column.source);
    return column.kind === 'missing' && from >= 0 ? [{ from, to }] : [];
  });
  if (indicators.length > 0) {
    const width = columns.length;
    const map = new Array<number>(width * width).fill(0);
    for (const { from, to } of indicators) map[from * width + to] = 1;
    const set = builder.add('MatMul', [
      builder.add('Cast', [missing], { to: int(onnxDouble) }),
      double(builder, map, [width, width]),
    ]);
    value = builder.add('Where', [builder.add('Cast', [set], { to: int(onnxBool) }), set, value]);
  }
  return builder.add('Cast', [value], { to: int(onnxFloat) });
}

/** (value - mean) / sd of each channel, where declared. */
function addPixelScaling(builder: GraphBuilder, x: string, { pixels }: InputDescription): string {
  if (!pixels) return x;
  const dims = [1, pixels.mean.length, 1, 1];
  const centred = builder.add('Sub', [x, builder.constant(float32(pixels.mean, dims))]);
  return builder.add('Div', [centred, builder.constant(float32(pixels.sd, dims))]);
}

/** Softmax of the logits. One logit speaks for the positive class: with 0 for the other class the softmax is its sigmoid. */
function addProbabilities(builder: GraphBuilder, logits: string, plan: Plan): string {
  let all = logits;
  if (plan.network.loss === 'binary-cross-entropy' && plan.task.kind === 'classification') {
    const zero = builder.add('Sub', [logits, logits]);
    const order = positiveIndex(plan.task) === 0 ? [logits, zero] : [zero, logits];
    all = builder.add('Concat', order, { axis: int(1) });
  }
  return builder.add('Softmax', [all], { axis: int(1) });
}

/** mean + sd·z, and with `rmsle` softplus of it: max(v, 0) + log(1 + exp(-|v|)). */
function addPrediction(builder: GraphBuilder, z: string, mean: number, sd: number, softplus: boolean): string {
  const scaled = builder.add('Mul', [z, double(builder, [sd])]);
  const value = builder.add('Add', [scaled, double(builder, [mean])]);
  if (!softplus) return value;
  const small = builder.add('Exp', [builder.add('Neg', [builder.add('Abs', [value])])]);
  const log = builder.add('Log', [builder.add('Add', [small, double(builder, [1])])]);
  return builder.add('Add', [builder.add('Max', [value, double(builder, [0])]), log]);
}

/** What a program that has only the file should know. */
function metadataOf(plan: Plan, { columns, dims, synthetic }: InputDescription): Record<string, string> {
  const { task } = plan;
  return {
    'septum.study': plan.study,
    'septum.synthetic': String(synthetic),
    'septum.input':
      columns.length > 0
        ? JSON.stringify(columns.map(({ name, unit, kind }) => ({ name, unit, kind })))
        : `pixels of 0 to 1, [${dims.join(', ')}]`,
    ...(task.kind === 'classification'
      ? { 'septum.classes': JSON.stringify(task.classes) }
      : { 'septum.target': JSON.stringify({ name: task.target, unit: task.unit }) }),
  };
}
