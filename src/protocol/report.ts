// What a site with the labels reports of one part instead of labels: sums over its records, and histograms of its scores by class.
// A site with fewer than `minCount` records of a class reports nothing but that fact.

import { REPORT_STATISTICS } from './script.ts';

/** The statistics in the order in which they travel; the rest of the tensor is zero. */
export const reportFields = [
  /** 1 when the site reports, 0 when it has too few records of a class and everything else is zero. */
  'reported',
  'n',
  /** Sum of the records' losses, unweighted. */
  'lossSum',
  // Classification: counts at the threshold (two classes), or of right answers alone.
  'truePositive',
  'falsePositive',
  'trueNegative',
  'falseNegative',
  'correct',
  'brierSum',
  'ece',
  /** 1 when the three that follow are there: both classes occur. */
  'aucKnown',
  'auc',
  'aucLow',
  'aucHigh',
  // Regression, in the target's unit.
  'squaredErrorSum',
  'absoluteErrorSum',
  'targetSum',
  'targetSquareSum',
  'squaredLogErrorSum',
  'negativeCount',
  // Training since the last report: the weighted loss and the records it is about.
  'trainLossSum',
  'trainRecords',
] as const;

export type ReportStatistics = Record<(typeof reportFields)[number], number>;

/** Statistics with every field zero. */
export function emptyStatistics(): ReportStatistics {
  return Object.fromEntries(reportFields.map((field) => [field, 0])) as ReportStatistics;
}

/** The statistics as they travel, float64. */
export function encodeStatistics(statistics: ReportStatistics): Float64Array<ArrayBuffer> {
  const values = new Float64Array(REPORT_STATISTICS);
  reportFields.forEach((field, index) => (values[index] = statistics[field]));
  return values;
}

/** The statistics from a report's tensor. */
export function decodeStatistics(values: ArrayLike<number>): ReportStatistics {
  return Object.fromEntries(reportFields.map((field, index) => [field, values[index] ?? 0])) as ReportStatistics;
}
