// A user's own network, from a model file. Its float initializers become parameters and running statistics, so that the rest of
// Septum treats it as one of its own.

import { ConfigError } from '../base/index.ts';
import { type Graph, inferTypes } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { modelForm } from './model-form.ts';
import { rolesOf } from './model-roles.ts';
import type { Network, ParameterSpec } from './network.ts';
import { type Separator, separators } from './separators.ts';

/** Where to cut a model, by the file's own value names. */
export interface ModelCuts {
  /** The activations. */
  readonly cut: string;
  /** Where the head begins; without it the head is as short as it can be and still have a parameter. */
  readonly headCut?: string | undefined;
}

/**
 * The network of a model file: one float32 input `[batch, ...]`, one output `[batch, classes]` of logits or z. Parameters start from the
 * file's values. Throws ConfigError `bad-study` when the model is no such network or cannot be cut there; the message lists where it can.
 */
export function networkFromModel(model: Graph, cuts: ModelCuts): Network {
  const { graph: whole, names } = modelForm(model);
  const refuse = (problems: readonly string[]): never => {
    throw new ConfigError(
      'bad-study',
      problems.map((problem) => `network ${model.name}: ${problem}`),
    );
  };
  const roles = rolesOf(whole);
  if (roles.problems.length > 0) refuse(roles.problems);
  const [output] = whole.outputs;
  if (output?.dtype !== 'float32' || output.dims.length !== 2 || output.dims[0] !== 'N')
    refuse([`its output is ${output?.dtype} [${output?.dims.join(', ')}]; expected float32 [batch, classes]`]);

  const { cut, headCut } = chooseCuts(whole, roles.parameters, names, cuts, refuse);
  const specs = (list: ReadonlySet<string>): ParameterSpec[] =>
    [...list].map((name) => startingFrom(name, whole.initializers.get(name)!));
  const parameters = specs(roles.parameters);
  const statistics = specs(roles.statistics);
  const moved = [...parameters, ...statistics];
  const input = whole.inputs[0]!;
  const graph: Graph = {
    ...whole,
    inputs: [input, ...moved.map(({ name, dims }) => ({ name, dtype: 'float32' as const, dims }))],
    initializers: new Map([...whole.initializers].filter(([name]) => !moved.some((spec) => spec.name === name))),
  };
  const inputDims = input.dims.slice(1).map(Number);
  return { name: model.name, graph, parameters, statistics, inputDims, cut, headCut };
}

function startingFrom(name: string, value: Tensor): ParameterSpec {
  return { name, dims: value.dims, init: { kind: 'value', tensor: value as Tensor<'float32'> } };
}

function chooseCuts(
  graph: Graph,
  parameters: ReadonlySet<string>,
  names: ReadonlyMap<string, string>,
  cuts: ModelCuts,
  refuse: (problems: readonly string[]) => never,
): { cut: string; headCut: string } {
  const fileNames = new Map([...names].map(([from, to]) => [to, from]));
  const types = inferTypes(graph);
  const batched = separators(graph, 'x', 'y', parameters).filter(({ value }) => {
    const type = types.get(value);
    return type?.dtype === 'float32' && type.dims[0] === 'N';
  });
  const list = (found: readonly Separator[]) =>
    found.map(({ value }) => fileNames.get(value) ?? value).join(', ') || '(nowhere)';
  const find = (found: readonly Separator[], name: string) =>
    found.find(({ value }) => value === (names.get(name) ?? name));

  // A segment without a parameter would send its input; a trunk or head without one has nothing to learn.
  const cutPlaces = batched.filter(({ before, after }) => before.length > 0 && after.length > 0);
  const cut = find(cutPlaces, cuts.cut);
  if (!cut) return refuse([`it cannot be cut at "${cuts.cut}"; it can at ${list(cutPlaces)}`]);

  const headPlaces = batched.filter(({ before, after }) => after.length > 0 && before.length > cut.before.length);
  const last = headPlaces.at(-1);
  const headCut = cuts.headCut === undefined ? last : find(headPlaces, cuts.headCut);
  if (headCut) return { cut: cut.value, headCut: headCut.value };
  if (cuts.headCut === undefined) return { cut: cut.value, headCut: cut.value };
  return refuse([`its head cannot begin at "${cuts.headCut}"; it can at ${list(headPlaces)}`]);
}
