// A user's own network, from a model file. Its float initializers become parameters and running statistics, so that the rest of
// Septum treats it as one of its own.

import { ConfigError } from '../base/index.ts';
import { checkAllowed, checkOperators, type Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { allowedModels } from './allowed-models.ts';
import { chooseCuts, type Cuts } from './cuts.ts';
import { modelForm } from './model-form.ts';
import { rolesOf } from './model-roles.ts';
import type { Network, ParameterSpec } from './network.ts';

/**
 * The network of a model file: one float32 input `[batch, ...]`, one output `[batch, classes]` of logits or z. Parameters start from the
 * file's values. Throws ConfigError `bad-study` when the model is no such network or cannot be cut there; the message lists where it can;
 * EngineError for an operator that is not allowed, or when one record could take too much memory.
 */
export function networkFromModel(model: Graph, cuts: Omit<Cuts, 'usualHeadCut'>): Network {
  checkOperators(model, allowedModels);
  const { graph: whole, names } = modelForm(model);
  checkAllowed(whole, allowedModels);
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

  const { cut, headCut } = chooseCuts({ name: model.name, graph: whole, parameters: roles.parameters, names }, cuts);
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
