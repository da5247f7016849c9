// Normalisations over [batch, channels, …]. All keep the shape of their first input.

import { type Call, type Inference, floatTypes } from './call.ts';
import { formatDims, sameDims } from './dims.ts';

function checkChannels(call: Call, indices: readonly number[]): void {
  const channels = call.ranked(0, 2, true)[1] ?? 0;
  for (const index of indices) {
    if (!sameDims(call.dims(index), [channels]))
      call.fail(`input ${index} "${call.nameOf(index)}" of [${channels}]`, formatDims(call.dims(index)));
  }
}

/** BatchNormalization, opset 14 and later: with `training_mode` it also gives the running mean and variance. */
const batch: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  checkChannels(call, [1, 2, 3, 4]);
  const output = { dtype, dims };
  if (call.int('training_mode', 0) === 0) return [output];
  const statistics = { dtype: call.dtype(3), dims: call.dims(3) };
  return [output, statistics, statistics];
};

const instance: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  checkChannels(call, [1, 2]);
  return [{ dtype, dims }];
};

/** GroupNormalization: scale and bias a channel from opset 21, a group before. */
const group: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  const groups = call.int('num_groups', 0);
  const channels = call.size(0, 1);
  if (groups < 1 || channels % groups !== 0) call.fail(`num_groups that divides ${channels} channels`, String(groups));
  if (call.opset >= 21) checkChannels(call, [1, 2]);
  else
    for (const index of [1, 2])
      if (!sameDims(call.dims(index), [groups]))
        call.fail(`input ${index} of [${groups}]`, formatDims(call.dims(index)));
  return [{ dtype, dims }];
};

const layer: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  const axis = call.axis(call.int('axis', -1), dims.length);
  const normalized = dims.slice(axis);
  for (const index of [1, 2]) {
    if (call.has(index) && !sameDims(call.dims(index), normalized))
      call.fail(`input ${index} "${call.nameOf(index)}" of ${formatDims(normalized)}`, formatDims(call.dims(index)));
  }
  const statistics = { dtype: 'float32' as const, dims: dims.map((dim, index) => (index < axis ? dim : 1)) };
  return [{ dtype, dims }, statistics, statistics];
};

const sameAsInput: Inference = (call) => [{ ...call.typed(0, floatTypes) }];

export const normalization: Readonly<Record<string, Inference>> = {
  BatchNormalization: batch,
  InstanceNormalization: instance,
  GroupNormalization: group,
  LayerNormalization: layer,
  LpNormalization: sameAsInput,
  LRN: sameAsInput,
};
