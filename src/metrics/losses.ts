// Losses and probabilities of logits, record by record, in float64. Each is written so that no exponential overflows and no small
// difference of large numbers is taken.

import { assert } from '../base/index.ts';

/** Softmax cross-entropy of each record: log Σ exp(z) - z[label]. `logits` is `[n, classCount]` row-major, `labels` class indices. */
export function softmaxCrossEntropies(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
  classCount: number,
): Float64Array<ArrayBuffer> {
  assert(logits.length === labels.length * classCount, `${logits.length} logits of ${labels.length} records`);
  return Float64Array.from({ length: labels.length }, (_, i) => {
    const at = i * classCount;
    const label = logits[at + labels[i]!]!;
    const most = largest(logits, at, classCount);
    // log Σ exp(z - most), with the largest term (1) apart, so that a confident record's loss keeps its digits.
    let others = 0;
    let seenMost = false;
    for (let c = 0; c < classCount; c++) {
      const z = logits[at + c]!;
      if (z === most && !seenMost) seenMost = true;
      else others += Math.exp(z - most);
    }
    return most - label + Math.log1p(others);
  });
}

/** Binary cross-entropy of each record, y 0 or 1: max(z, 0) - z·y + log(1 + exp(-|z|)). */
export function binaryCrossEntropies(logits: ArrayLike<number>, labels: ArrayLike<number>): Float64Array<ArrayBuffer> {
  assert(logits.length === labels.length, `${logits.length} logits of ${labels.length} records`);
  return Float64Array.from({ length: labels.length }, (_, i) => {
    const signed = labels[i] ? logits[i]! : -logits[i]!;
    return Math.max(-signed, 0) + Math.log1p(Math.exp(-Math.abs(signed)));
  });
}

/** Softmax of each row of `[n, classCount]`. */
export function softmaxProbabilities(logits: ArrayLike<number>, classCount: number): Float64Array<ArrayBuffer> {
  const probabilities = new Float64Array(logits.length);
  for (let at = 0; at < logits.length; at += classCount) {
    const most = largest(logits, at, classCount);
    let sum = 0;
    for (let c = 0; c < classCount; c++) sum += probabilities[at + c] = Math.exp(logits[at + c]! - most);
    for (let c = 0; c < classCount; c++) probabilities[at + c]! /= sum;
  }
  return probabilities;
}

/** Both classes' probabilities `[n, 2]` of one logit a record, which is that of class `positive`. */
export function sigmoidProbabilities(logits: ArrayLike<number>, positive = 1): Float64Array<ArrayBuffer> {
  const probabilities = new Float64Array(2 * logits.length);
  for (let i = 0; i < logits.length; i++) {
    probabilities[2 * i + positive] = sigmoid(logits[i]!);
    probabilities[2 * i + 1 - positive] = sigmoid(-logits[i]!);
  }
  return probabilities;
}

/** 1/(1 + exp(-z)). */
export function sigmoid(z: number): number {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const e = Math.exp(z);
  return e / (1 + e);
}

/** (prediction - target)² of each record. */
export function squaredErrors(predictions: ArrayLike<number>, targets: ArrayLike<number>): Float64Array<ArrayBuffer> {
  assert(predictions.length === targets.length, `${predictions.length} predictions of ${targets.length} records`);
  return Float64Array.from({ length: targets.length }, (_, i) => (predictions[i]! - targets[i]!) ** 2);
}

/** (log(1 + prediction) - log(1 + target))² of each record; both must be above -1. */
export function squaredLogErrors(
  predictions: ArrayLike<number>,
  targets: ArrayLike<number>,
): Float64Array<ArrayBuffer> {
  assert(predictions.length === targets.length, `${predictions.length} predictions of ${targets.length} records`);
  return Float64Array.from(
    { length: targets.length },
    (_, i) => (Math.log1p(predictions[i]!) - Math.log1p(targets[i]!)) ** 2,
  );
}

/** Σ w·ℓ / n, w = 1 where there are no weights: the loss that training minimises. Null without records. */
export function meanLoss(losses: ArrayLike<number>, weights?: ArrayLike<number>): number | null {
  if (losses.length === 0) return null;
  let sum = 0;
  for (let i = 0; i < losses.length; i++) sum += losses[i]! * (weights ? weights[i]! : 1);
  return sum / losses.length;
}

function largest(values: ArrayLike<number>, at: number, count: number): number {
  let most = values[at]!;
  for (let c = 1; c < count; c++) most = Math.max(most, values[at + c]!);
  return most;
}
