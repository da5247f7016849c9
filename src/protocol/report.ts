// What a site with the labels reports of one part instead of labels: its figures, its confusion counts, and histograms of its scores by
// class. A site with fewer than `minCount` records of a class reports that fact and nothing else.

import { REPORT_STATISTICS } from './script.ts';

/** The statistics in the order in which they travel; the rest of the tensor is zero. */
const fields = [
  'reported',
  /** Weighted training loss since the last report, summed over records, and the records. */
  'trainLossSum',
  'trainRecords',
  'n',
  'nGroups',
  'loss',
  'auc',
  'aucLow',
  'aucHigh',
  'accuracy',
  'sensitivity',
  'specificity',
  'f1',
  'brier',
  'ece',
  'rmse',
  'mae',
  'r2',
  'rmsle',
  'nNegative',
  'targetMean',
  'targetSquares',
] as const;

/** A site's statistics; null where a figure is not defined. */
export type ReportStatistics = Readonly<Record<(typeof fields)[number], number | null>>;

/** Statistics with every field null. */
export function emptyStatistics(): ReportStatistics {
  return Object.fromEntries(fields.map((field) => [field, null])) as ReportStatistics;
}

/** The statistics as they travel, float64 `[REPORT_STATISTICS]`: first a bit mask of the fields that are there, then the fields. */
export function encodeStatistics(statistics: ReportStatistics): Float64Array<ArrayBuffer> {
  const values = new Float64Array(REPORT_STATISTICS);
  fields.forEach((field, index) => {
    const value = statistics[field];
    if (value === null) return;
    values[0] = (values[0] as number) + 2 ** index;
    values[index + 1] = value;
  });
  return values;
}

/** The statistics from a report's tensor. */
export function decodeStatistics(values: ArrayLike<number>): ReportStatistics {
  const mask = values[0] ?? 0;
  return Object.fromEntries(
    fields.map((field, index) => [field, Math.floor(mask / 2 ** index) % 2 === 1 ? (values[index + 1] ?? null) : null]),
  ) as ReportStatistics;
}
