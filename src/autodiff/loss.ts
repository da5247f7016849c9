// The losses of a study (SEMANTICS.md), as nodes of the graph. Each is written so that neither it nor its gradient overflows or
// cancels for large logits; differentiate() then needs no rule of its own for a loss.

import { int, type GraphBuilder } from '../onnx/index.ts';
import { int64 } from '../tensor/index.ts';
import { Ops } from './ops.ts';

export type LossKind = 'softmax-cross-entropy' | 'binary-cross-entropy' | 'mse' | 'rmsle';

/** The values a loss is made of; all batch dimensions are the same. */
export interface LossInputs {
  /** `softmax-cross-entropy`: logits [N, C]. Others: one number a record, [N] or [N, 1]: a logit, or the standardised z. */
  readonly prediction: string;
  /** `softmax-cross-entropy`: int64 class index [N], from 0 to C - 1. Others: float32 [N] or [N, 1]; for `mse` standardised as z is, for `rmsle` in its own unit. */
  readonly target: string;
  /** float32 [N]. */
  readonly weight: string;
  /** Only `rmsle`: float32 scalars; the prediction in the target's unit is softplus(mean + stdDev·z). */
  readonly mean?: string;
  readonly stdDev?: string;
}

export interface Loss {
  /** ℓ of each record, unweighted, float32 [N]. */
  readonly perRecord: string;
  /** Σ weight·ℓ, a float32 scalar. Not yet divided by the number of records in the step. */
  readonly total: string;
}

/** Adds a loss to the graph. Its gradient is that of `total`, or of `perRecord` seeded with the weights, which is the same. */
export function addLoss(builder: GraphBuilder, kind: LossKind, inputs: LossInputs): Loss {
  const ops = new Ops(builder);
  const perRecord = lossOf(ops, kind, inputs);
  return { perRecord, total: ops.sum(ops.mul(perRecord, inputs.weight), [0], false) };
}

function lossOf(ops: Ops, kind: LossKind, inputs: LossInputs): string {
  switch (kind) {
    case 'softmax-cross-entropy':
      return softmaxCrossEntropy(ops, inputs);
    case 'binary-cross-entropy':
      return binaryCrossEntropy(ops, inputs);
    case 'mse':
      return ops.square(ops.sub(column(ops, inputs.prediction), column(ops, inputs.target)));
    case 'rmsle':
      return squaredLogError(ops, inputs);
  }
}

/** [N, 1] as [N]. */
function column(ops: Ops, value: string): string {
  return ops.rank(value) === 1 ? value : ops.reshape(value, [-1]);
}

/** ℓ = -log softmax(z)[y]. Through LogSoftmax its gradient is softmax(z) - onehot(y), without a difference of large numbers. */
function softmaxCrossEntropy(ops: Ops, { prediction, target }: LossInputs): string {
  const classes = ops.dims(prediction)[1] as number;
  const logProbabilities = ops.builder.add('LogSoftmax', [prediction], { axis: int(1) });
  const depth = ops.builder.constant(int64([classes], []), 'i');
  const values = ops.constant([0, 1], [2]);
  const oneHot = ops.builder.add('OneHot', [target, depth, values], { axis: int(1) });
  return ops.unary('Neg', ops.sum(ops.mul(logProbabilities, oneHot), [1], false));
}

/**
 * ℓ = y·softplus(-z) + (1 - y)·softplus(z), which is -y·log σ(z) - (1 - y)·log(1 - σ(z)); its gradient is (1 - y)·σ(z) - y·σ(-z).
 * No term is the difference of large numbers. y may be any number from 0 to 1.
 */
function binaryCrossEntropy(ops: Ops, { prediction, target }: LossInputs): string {
  const z = column(ops, prediction);
  const y = column(ops, target);
  const positive = ops.mul(y, ops.unary('Softplus', ops.unary('Neg', z)));
  const negative = ops.mul(ops.sub(ops.scalar(1), y), ops.unary('Softplus', z));
  return ops.add(positive, negative);
}

/** ŷ = softplus(mean + stdDev·z); ℓ = (log(1 + ŷ) - log(1 + y))². */
function squaredLogError(ops: Ops, { prediction, target, mean, stdDev }: LossInputs): string {
  if (mean === undefined || stdDev === undefined) throw new TypeError('rmsle needs mean and stdDev');
  const inUnit = ops.add(mean, ops.mul(stdDev, column(ops, prediction)));
  const log1p = (value: string): string => ops.unary('Log', ops.plus(value, 1));
  const difference = ops.sub(log1p(ops.unary('Softplus', inUnit)), log1p(column(ops, target)));
  return ops.square(difference);
}
