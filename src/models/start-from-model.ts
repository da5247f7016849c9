// Lets a network of ours start from the weights of a model file instead of a seed, for instance one that an earlier study left.

import { ConfigError } from '../base/index.ts';
import type { Graph } from '../onnx/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Network, ParameterSpec } from './network.ts';

/**
 * The network, with parameters and running statistics starting from the model's initializers of the same names. With `partial` those that
 * the model does not have keep their start, as long as it has one. Throws ConfigError `bad-study` with everything that is missing or has
 * another shape or type.
 */
export function startFromModel(network: Network, model: Graph, options: { readonly partial?: boolean } = {}): Network {
  const problems: string[] = [];
  let found = 0;
  const from = (spec: ParameterSpec): ParameterSpec => {
    const value = model.initializers.get(spec.name);
    if (!value) {
      if (options.partial !== true) problems.push(`${spec.name} is missing`);
      return spec;
    }
    found++;
    if (value.dtype !== 'float32' || value.dims.join() !== spec.dims.join()) {
      const got = `${value.dtype} [${value.dims.join(', ')}]`;
      problems.push(`${spec.name} is ${got}; expected float32 [${spec.dims.join(', ')}]`);
      return spec;
    }
    return { ...spec, init: { kind: 'value', tensor: value as Tensor<'float32'> } };
  };
  const started = { ...network, parameters: network.parameters.map(from), statistics: network.statistics.map(from) };
  if (found === 0 && problems.length === 0) problems.push('it has no initializer that is called as a parameter');
  if (problems.length > 0) {
    throw new ConfigError(
      'bad-study',
      problems.map((problem) => `network ${network.name} cannot start from the model ${model.name}: ${problem}`),
    );
  }
  return started;
}
