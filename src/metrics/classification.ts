// A part's classification metrics as metrics.json shows them (SEMANTICS: evaluation and selection).

import { assert, DataError } from '../base/index.ts';
import { type AucInterval, macroAuc, rocAuc } from './auc.ts';
import { brierScore, expectedCalibrationError } from './calibration.ts';
import { addConfusions, type ConfusionMatrix, confusionMatrix, decideClasses, decisionRates } from './confusion.ts';
import { meanLoss } from './losses.ts';
import { addHistograms, histogramAuc, type ScoreHistogram } from './score-histogram.ts';

export interface ClassificationInput {
  /** `[n, classCount]` row-major, each 0 … 1. */
  readonly probabilities: ArrayLike<number>;
  /** Class indices. */
  readonly labels: ArrayLike<number>;
  readonly classCount: number;
  /** The class that sensitivity, the threshold and, with two classes, the area are about; default 1. */
  readonly positive?: number;
  /** Default 0.5; used with two classes only. */
  readonly threshold?: number;
  /** The group (patient or case) of each record, any numbers; without them each record is its own. */
  readonly groups?: ArrayLike<number>;
  /** Each record's loss from its logits; without them -log of its label's probability, which may be infinite. */
  readonly losses?: ArrayLike<number>;
  /** Weights of the records in `loss`; no other figure uses them. */
  readonly weights?: ArrayLike<number>;
}

/** Null marks what is not defined for the records at hand. */
export interface ClassificationMetrics {
  readonly n: number;
  /** Groups among the n records. */
  readonly nGroups: number | null;
  readonly loss: number | null;
  readonly auc: number | null;
  readonly aucLow: number | null;
  readonly aucHigh: number | null;
  /** How the interval treats records: `clustered` by group, `independent` (each group has one), `unclustered` (groups not known). */
  readonly aucInterval: 'clustered' | 'independent' | 'unclustered' | null;
  readonly accuracy: number | null;
  readonly sensitivity: number | null;
  readonly specificity: number | null;
  readonly f1: number | null;
  readonly brier: number | null;
  readonly ece: number | null;
  readonly confusion: ConfusionMatrix;
}

/** All figures of one part of the data. Throws DataError when a probability is not a number from 0 to 1. */
export function classificationMetrics(input: ClassificationInput): ClassificationMetrics {
  const { probabilities, labels, classCount, positive = 1, threshold = 0.5, groups, losses, weights } = input;
  const n = labels.length;
  assert(
    classCount >= 2 && probabilities.length === n * classCount,
    `${probabilities.length} probabilities of ${n} records`,
  );
  checkProbabilities(probabilities);
  const area =
    classCount === 2
      ? rocAuc(column(probabilities, classCount, positive), isClass(labels, positive), groups)
      : macroAuc(probabilities, labels, classCount, groups);
  const nGroups = groups ? new Set(Array.from(groups)).size : n;
  const confusion = confusionMatrix(labels, decideClasses(probabilities, classCount, positive, threshold), classCount);
  return {
    n,
    nGroups,
    loss: meanLoss(losses ?? logLosses(probabilities, labels, classCount), weights),
    ...area,
    aucInterval: area.aucLow === null ? null : nGroups < n ? 'clustered' : 'independent',
    ...decisionRates(confusion, positive),
    brier: brierScore(probabilities, labels, classCount, positive),
    ece: expectedCalibrationError(probabilities, labels, classCount, positive),
    confusion,
  };
}

/** A site's figures and its histograms (`classHistograms`), where its labels stay. */
export interface SiteClassification {
  readonly metrics: ClassificationMetrics;
  readonly histograms: readonly ScoreHistogram[];
}

/**
 * The overall figures of sites whose labels stay: counts are added, means weighted by records, the area taken from the added
 * histograms with Hanley and McNeil's interval. The calibration error does not follow from the sites' own and is null.
 */
export function pooledClassificationMetrics(sites: readonly SiteClassification[], positive = 1): ClassificationMetrics {
  const parts = sites.filter((site) => site.metrics.n > 0);
  const n = parts.reduce((sum, { metrics }) => sum + metrics.n, 0);
  const mean = (key: 'loss' | 'brier'): number | null => {
    if (n === 0) return null;
    let sum = 0;
    for (const { metrics } of parts) {
      const value = metrics[key];
      if (value === null) return null;
      sum += value * metrics.n;
    }
    return sum / n;
  };
  const area: AucInterval = histogramAuc(
    (parts[0]?.histograms ?? []).map((_, c) => addHistograms(parts.map((part) => part.histograms[c]!))),
  );
  const confusion = addConfusions(parts.map(({ metrics }) => metrics.confusion));
  return {
    n,
    nGroups: null,
    loss: mean('loss'),
    ...area,
    aucInterval: area.aucLow === null ? null : 'unclustered',
    ...decisionRates(confusion, positive),
    brier: mean('brier'),
    ece: null,
    confusion,
  };
}

function checkProbabilities(probabilities: ArrayLike<number>): void {
  let wrong = 0;
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i]!;
    if (!(p >= 0 && p <= 1)) wrong++;
  }
  if (wrong > 0) {
    throw new DataError(
      'bad-data',
      `${wrong} of ${probabilities.length} probabilities are not numbers from 0 to 1: the network has probably diverged; try a lower learning rate`,
    );
  }
}

function logLosses(probabilities: ArrayLike<number>, labels: ArrayLike<number>, classCount: number): Float64Array {
  return Float64Array.from({ length: labels.length }, (_, i) => -Math.log(probabilities[i * classCount + labels[i]!]!));
}

function column(probabilities: ArrayLike<number>, classCount: number, c: number): Float64Array {
  return Float64Array.from({ length: probabilities.length / classCount }, (_, i) => probabilities[i * classCount + c]!);
}

function isClass(labels: ArrayLike<number>, c: number): Uint8Array {
  return Uint8Array.from({ length: labels.length }, (_, i) => (labels[i] === c ? 1 : 0));
}
