// 200 steps of the product's own `ct-cnn`, uncut, with SGD and momentum, from the same weights and batches as PyTorch
// (test/golden/torch/make.py): images with flat regions, so that pooling ties.

import { expect, it } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import { namedNetwork } from '../../src/models/index.ts';
import type { Plan } from '../../src/protocol/index.ts';
import { bindingsOf, compileUncut, hyperOf, stateFrom } from '../../src/split/index.ts';
import { tensor } from '../../src/tensor/index.ts';
import { batchOf, startWeights } from '../golden/torch/ct-cnn-data.ts';
import { readGolden } from '../golden/torch/golden.ts';
import { twoClasses } from '../harness/study.ts';

const golden = readGolden<{ steps: number; batch: number; rate: number; momentum: number; losses: number[] }>(
  'ct-cnn.json',
);
const training: Pick<Plan['training'], 'learningRate' | 'schedule' | 'optimizer'> = {
  learningRate: golden.rate,
  schedule: { kind: 'constant', warmupSteps: 0 },
  optimizer: { kind: 'sgd', momentum: golden.momentum, nesterov: false, weightDecay: 0 },
};
/** make.py draws each layer's weight from a stream of its own, by the layer's place; biases are zero. */
const layers = ['conv1', 'conv2', 'conv3', 'fc1', 'fc2'];

it('200 steps of ct-cnn follow PyTorch’s loss curve to 1e-3', async () => {
  const network = namedNetwork('ct-cnn', { size: 64, classes: 2, dropout: 0 });
  expect(network.parameters.map(({ name }) => name)).toEqual(
    layers.flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]),
  );
  const { part, step } = compileUncut(
    { network, loss: 'softmax-cross-entropy', task: twoClasses, optimizer: training.optimizer },
    [],
  );
  const start = new Map(
    network.parameters.map(({ name, dims }) => {
      const stream = layers.indexOf(name.replace('.weight', ''));
      const count = dims.reduce((product, dim) => product * dim, 1);
      return [name, tensor('float32', dims, stream < 0 ? new Float32Array(count) : startWeights(stream, dims))];
    }),
  );
  const { resident, keep } = bindingsOf(step);
  await using engine = await openEngine({ placement: 'inline', threads: 2 });
  const graph = await engine.load(step);
  await engine.put(stateFrom(part.part, part.layout, start));
  const records = golden.batch;
  const weight = tensor('float32', [records], new Float32Array(records).fill(1 / records));
  const worst = { step: -1, difference: 0 };
  for (let at = 0; at < golden.steps; at++) {
    const { x, labels } = batchOf(at, records);
    const feeds = {
      x: tensor('float32', [records, 1, 64, 64], Float32Array.from(x)),
      labels: tensor('int32', [records], Int32Array.from(labels, Number)),
      weight,
      hyper: hyperOf(training, { step: at, totalSteps: golden.steps, update: at + 1, scale: 1 }),
    };
    const { loss } = await engine.run({ graph, feeds, resident, keep, fetch: ['loss'] });
    const total = Float32Array.from(loss!.data as Float32Array).reduce((sum, one) => sum + one / records, 0);
    const expected = golden.losses[at]!;
    const difference = Math.abs(total - expected) / expected;
    if (difference > worst.difference) Object.assign(worst, { step: at, difference });
  }
  expect(golden.losses.slice(-40).reduce((sum, loss) => sum + loss, 0) / 40).toBeLessThan(0.6);
  expect(worst.difference, `step ${worst.step}`).toBeLessThan(1e-3);
});
