// 200 steps of `ct-cnn` with SGD and momentum, from the same weights and batches as PyTorch (test/golden/torch/make.py): images with
// flat regions, so that pooling ties.

import ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { batchOf, startWeights } from '../../test/golden/torch/ct-cnn-data.ts';
import { readGolden } from '../../test/golden/torch/golden.ts';
import { GraphBuilder, int, ints, writeModel, type Graph } from '../onnx/index.ts';
import { differentiate } from './differentiate.ts';
import { addLoss } from './loss.ts';
import { addUpdate, hyperValues, type Optimizer } from './optimizer.ts';

const golden = readGolden<{ steps: number; batch: number; rate: number; momentum: number; losses: number[] }>(
  'ct-cnn.json',
);
const optimizer: Optimizer = { kind: 'sgd', momentum: golden.momentum, nesterov: false, weightDecay: 0 };
const layers: readonly (readonly [string, readonly number[]])[] = [
  ['conv1', [16, 1, 3, 3]],
  ['conv2', [32, 16, 3, 3]],
  ['conv3', [64, 32, 3, 3]],
  ['dense1', [128, 4096]],
  ['dense2', [2, 128]],
];
const parameters = layers.flatMap(([name, dims], stream) => [
  { name: `${name}.weight`, dims, start: startWeights(stream, dims) },
  { name: `${name}.bias`, dims: [dims[0]!], start: new Float32Array(dims[0]!) },
]);

/** One step: the loss and, under `next:`, every parameter and its momentum `NAME.v`. */
function stepGraph(): Graph {
  const builder = new GraphBuilder('step');
  let value = builder.input('x', 'float32', ['N', 1, 64, 64]);
  builder.input('labels', 'int64', ['N']);
  builder.input('weight', 'float32', ['N']);
  builder.input('hyper', 'float32', [4]);
  for (const { name, dims } of parameters) {
    builder.input(name, 'float32', dims);
    builder.input(`${name}.v`, 'float32', dims);
  }
  const weights = (layer: string): string[] => [`${layer}.weight`, `${layer}.bias`];
  for (const layer of ['conv1', 'conv2', 'conv3']) {
    value = builder.add('Conv', [value, ...weights(layer)], { pads: ints([1, 1, 1, 1]) });
    value = builder.add('MaxPool', [builder.add('Relu', [value])], {
      kernel_shape: ints([2, 2]),
      strides: ints([2, 2]),
    });
  }
  value = builder.add('Gemm', [builder.add('Flatten', [value]), ...weights('dense1')], { transB: int(1) });
  const logits = builder.add('Gemm', [builder.add('Relu', [value]), ...weights('dense2')], { transB: int(1) });
  const loss = addLoss(builder, 'softmax-cross-entropy', { prediction: logits, target: 'labels', weight: 'weight' });
  const gradients = differentiate(
    builder,
    new Map([[loss.perRecord, 'weight']]),
    parameters.map(({ name }) => name),
  );
  const groups = parameters.map(({ name }) => ({
    parameter: name,
    gradient: gradients.get(name)!,
    slots: [`${name}.v`],
  }));
  addUpdate(builder, optimizer, groups, 'hyper').forEach(({ parameter, slots }, index) => {
    builder.output(parameter, `next:${parameters[index]!.name}`);
    builder.output(slots[0]!, `next:${parameters[index]!.name}.v`);
  });
  builder.output(loss.total, 'loss');
  return builder.build({ prune: true });
}

it('200 steps of ct-cnn follow PyTorch’s loss curve to 1e-3', async () => {
  const session = await ort.InferenceSession.create(writeModel(stepGraph()), {
    intraOpNumThreads: 2,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  const state: Record<string, ort.Tensor> = {};
  for (const { name, dims, start } of parameters) {
    state[name] = new ort.Tensor('float32', start, [...dims]);
    state[`${name}.v`] = new ort.Tensor('float32', new Float32Array(start.length), [...dims]);
  }
  const records = golden.batch;
  const weight = new ort.Tensor('float32', new Float32Array(records).fill(1 / records), [records]);
  const worst = { step: -1, difference: 0 };
  for (let step = 0; step < golden.steps; step++) {
    const { x, labels } = batchOf(step, records);
    const results = await session.run({
      ...state,
      x: new ort.Tensor('float32', x, [records, 1, 64, 64]),
      labels: new ort.Tensor('int64', labels, [records]),
      weight,
      hyper: new ort.Tensor('float32', hyperValues(optimizer, golden.rate, step + 1, 1), [4]),
    });
    const expected = golden.losses[step]!;
    const difference = Math.abs(Number(results['loss']!.data[0]) - expected) / expected;
    if (difference > worst.difference) Object.assign(worst, { step, difference });
    for (const name of Object.keys(state)) state[name] = results[`next:${name}`]!;
  }
  await session.release();
  expect(golden.losses.slice(-40).reduce((sum, loss) => sum + loss, 0) / 40).toBeLessThan(0.6);
  expect(worst.difference, `step ${worst.step}`).toBeLessThan(1e-3);
});
