// From what a network puts out to a part's figures: logits to probabilities, z to values in the target's unit, each record's loss.

import { assert } from '../base/index.ts';
import { type ClassificationMetrics, classificationMetrics } from './classification.ts';
import {
  binaryCrossEntropies,
  sigmoidProbabilities,
  softmaxCrossEntropies,
  softmaxProbabilities,
  squaredErrors,
  squaredLogErrors,
} from './losses.ts';
import { type RegressionInput, type RegressionMetrics, regressionMetrics } from './regression.ts';

/** How a network's output is to be read. */
export type OutputMeaning =
  | {
      readonly kind: 'classification';
      readonly loss: 'softmax-cross-entropy' | 'binary-cross-entropy';
      readonly classCount: number;
      /** The class of a single logit, of the threshold and of a two-class AUC. */
      readonly positive: number;
      readonly threshold: number;
    }
  | {
      readonly kind: 'regression';
      readonly loss: 'mse' | 'rmsle';
      /** The prediction is mean + sd·z, or with `rmsle` softplus(mean + sd·z). */
      readonly mean: number;
      readonly sd: number;
    };

/** Class probabilities `[n, classCount]`, or predictions `[n]` in the target's unit, of outputs `[n, …]`. */
export function predictionsOf(meaning: OutputMeaning, outputs: ArrayLike<number>): Float64Array<ArrayBuffer> {
  if (meaning.kind === 'classification') {
    return meaning.loss === 'softmax-cross-entropy'
      ? softmaxProbabilities(outputs, meaning.classCount)
      : sigmoidProbabilities(outputs, meaning.positive);
  }
  const { mean, sd, loss } = meaning;
  return Float64Array.from({ length: outputs.length }, (_, row) => {
    const value = mean + sd * outputs[row]!;
    return loss === 'rmsle' ? softplus(value) : value;
  });
}

/** Each record's training loss, unweighted. */
export function lossesOf(
  meaning: OutputMeaning,
  outputs: ArrayLike<number>,
  labels: ArrayLike<number>,
): Float64Array<ArrayBuffer> {
  switch (meaning.loss) {
    case 'softmax-cross-entropy':
      return softmaxCrossEntropies(outputs, labels, meaning.classCount);
    case 'binary-cross-entropy':
      return binaryCrossEntropies(
        outputs,
        Array.from(labels, (label) => (label === meaning.positive ? 1 : 0)),
      );
    case 'mse':
      return squaredErrors(
        outputs,
        Array.from(labels, (label) => (label - meaning.mean) / meaning.sd),
      );
    case 'rmsle':
      return squaredLogErrors(predictionsOf(meaning, outputs), labels);
  }
}

/** What the figures of a part are computed from. */
export interface OutputRecords {
  /** `[n, …]` row-major. */
  readonly outputs: ArrayLike<number>;
  /** Class indices, or targets in their unit. */
  readonly labels: ArrayLike<number>;
  readonly groups?: ArrayLike<number>;
  /** Weight of each class in the loss. */
  readonly classWeights?: readonly number[];
}

/** The figures of a classification part. Throws DataError when an output is not finite. */
export function classificationOf(
  meaning: OutputMeaning & { kind: 'classification' },
  records: OutputRecords,
): ClassificationMetrics {
  const { outputs, labels, groups, classWeights } = records;
  return classificationMetrics({
    probabilities: predictionsOf(meaning, outputs),
    labels,
    classCount: meaning.classCount,
    positive: meaning.positive,
    threshold: meaning.threshold,
    losses: lossesOf(meaning, outputs, labels),
    ...(groups ? { groups } : {}),
    ...(classWeights ? { weights: Array.from(labels, (label) => classWeights[label] ?? 0) } : {}),
  });
}

/** What the figures of a regression part are computed from, in the target's unit. */
export function regressionInput(
  meaning: OutputMeaning & { kind: 'regression' },
  { outputs, labels }: OutputRecords,
): RegressionInput {
  return { predictions: predictionsOf(meaning, outputs), targets: labels, losses: lossesOf(meaning, outputs, labels) };
}

/** The figures of either kind of part. Throws DataError when an output is not finite. */
export function metricsOf(meaning: OutputMeaning, records: OutputRecords): ClassificationMetrics | RegressionMetrics {
  assert(records.outputs.length % Math.max(1, records.labels.length) === 0, 'outputs are as many rows as labels');
  return meaning.kind === 'classification'
    ? classificationOf(meaning, records)
    : regressionMetrics(regressionInput(meaning, records));
}

/** log(1 + exp(x)). */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
