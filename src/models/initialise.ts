// The numbers that a network starts from. Each parameter has a random stream of its own, named by the seed and the parameter, so a
// part of the network starts alike wherever it is computed, and a site's segment may start from another seed than the trunk.

import { assert, randomStream, type Seed } from '../base/index.ts';
import { elementCount, float32, tensor, type Tensor } from '../tensor/index.ts';
import type { ParameterSpec } from './network.ts';

/**
 * The starting values of the given parameters or running statistics, by name, float32 and owned by the caller. Element i of `uniform`
 * is bound·(2·u_i - 1), of `normal` stdDev·n_i, where u_i and n_i are value i of the stream (seed, 'init', [name]), see docs/RANDOM.md.
 */
export function initialise(specs: readonly ParameterSpec[], seed: Seed): Map<string, Tensor<'float32'>> {
  return new Map(specs.map((spec) => [spec.name, startOf(spec, seed)]));
}

function startOf({ name, dims, init }: ParameterSpec, seed: Seed): Tensor<'float32'> {
  const count = elementCount(dims);
  if (init.kind === 'value') {
    assert(init.tensor.data.length === count, `${name} of [${dims.join(', ')}] starts from ${init.tensor.data.length}`);
    return float32(init.tensor.data, dims);
  }
  const data = new Float32Array(count);
  if (init.kind === 'constant') {
    data.fill(init.value);
    return tensor('float32', dims, data);
  }
  const stream = randomStream(seed, 'init', [name]);
  if (init.kind === 'uniform') {
    stream.fillUniform(data);
    for (let i = 0; i < count; i++) data[i] = init.bound * (2 * data[i]! - 1);
  } else {
    stream.fillNormal(data);
    for (let i = 0; i < count; i++) data[i] = init.stdDev * data[i]!;
  }
  return tensor('float32', dims, data);
}
