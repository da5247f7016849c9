// What a site with the labels reports of one part instead of labels: its figures, its confusion counts, and histograms of its scores by
// class. A site with fewer than `minCount` records of a class reports that fact and nothing else.

import { ProtocolError } from '../base/index.ts';
import type { Message } from './message.ts';
import { HISTOGRAM_BINS, REPORT_STATISTICS } from './lines.ts';

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

/** A site's report of one part. */
export interface Report {
  readonly statistics: ReportStatistics;
  /** int32 [classes, classes]; absent for regression. */
  readonly confusion: Int32Array | undefined;
  /** int32 [histograms, 2, HISTOGRAM_BINS]; absent for regression. */
  readonly histograms: Int32Array | undefined;
}

/** Figures that are shares: 0 to 1. */
const shares = ['auc', 'aucLow', 'aucHigh', 'accuracy', 'sensitivity', 'specificity', 'f1', 'ece'] as const;
/** Figures that are counts. */
const counts = ['trainRecords', 'n', 'nGroups', 'nNegative'] as const;
/** Figures that are never below zero. */
const sizes = ['brier', 'rmse', 'mae', 'rmsle', 'targetSquares'] as const;

/**
 * Reads a `report` of a part with `records` records whose shapes and ranges the session has checked. Throws ProtocolError when its
 * numbers cannot belong together; the error names the figure, never its value.
 */
export function readReport(message: Message, records: number): Report {
  const [values, confusion, histograms] = message.tensors.map(({ tensor }) => tensor.data) as [
    Float64Array,
    Int32Array | undefined,
    Int32Array | undefined,
  ];
  const statistics = decodeStatistics(values);
  const bad = (what: string) => new ProtocolError('bad-field', `report: ${what}`);
  const canonical = encodeStatistics(statistics);
  if (values.some((value, index) => value !== canonical[index]))
    throw bad('the mask of fields does not fit the fields');
  const { reported, n } = statistics;
  if (reported !== 0 && reported !== 1) throw bad('reported is neither 0 nor 1');
  for (const [names, fits] of [
    [counts, (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 31],
    [shares, (value: number) => value >= 0 && value <= 1],
    [sizes, (value: number) => value >= 0],
  ] as const) {
    for (const name of names) {
      const value = statistics[name];
      if (value !== null && !fits(value)) throw bad(`${name} is out of its range`);
    }
  }
  if (reported === 1 && n !== records) throw bad('n is not the number of records of the part');
  const of = reported === 1 ? records : 0;
  if (confusion && total(confusion) !== of) throw bad('the confusion counts do not add up to the records');
  for (let from = 0; histograms && from < histograms.length; from += 2 * HISTOGRAM_BINS) {
    if (total(histograms.subarray(from, from + 2 * HISTOGRAM_BINS)) !== of)
      throw bad('a histogram does not add up to the records');
  }
  return { statistics, confusion, histograms };
}

function total(values: Int32Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
