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

type Field = (typeof fields)[number];

/** What a site tells of its training, with every report. */
const ofTraining: readonly Field[] = ['trainLossSum', 'trainRecords'];
/** What only a classification has, and what only a regression. */
const ofClasses: readonly Field[] = [
  'nGroups',
  'auc',
  'aucLow',
  'aucHigh',
  'accuracy',
  'sensitivity',
  'specificity',
  'f1',
  'brier',
  'ece',
];
const ofValues: readonly Field[] = ['rmse', 'mae', 'r2', 'rmsle', 'nNegative', 'targetMean', 'targetSquares'];

/**
 * Bound of every other figure. Outputs are float32 and are scaled by the census's moments (census.ts), so none comes near; and squares of
 * such figures, times the records of all sites, do not overflow.
 */
const figureMost = 1e100;

/** What a figure of a part with `n` records, or of `trainRecords` steps of training, can be. */
function ranges(
  n: number,
  trainRecords: number,
  classCount: number,
): Partial<Record<Field, readonly [number, number]>> {
  const share = [0, 1] as const;
  const size = [0, figureMost] as const;
  return {
    trainLossSum: size,
    trainRecords: [0, trainRecords],
    nGroups: [Math.min(n, 1), n],
    loss: size,
    auc: share,
    aucLow: share,
    aucHigh: share,
    accuracy: share,
    sensitivity: share,
    specificity: share,
    f1: share,
    brier: [0, classCount > 2 ? 2 : 1],
    ece: share,
    rmse: size,
    mae: size,
    r2: [Number.NEGATIVE_INFINITY, 1],
    rmsle: size,
    nNegative: [0, n],
    targetMean: [-figureMost, figureMost],
    targetSquares: [0, figureMost ** 2],
  };
}

/** A sum of shares may end a last bit beyond 1. */
const rounding = 1e-9;
const wholeNumbers: readonly Field[] = ['trainRecords', 'n', 'nGroups', 'nNegative'];

/**
 * Reads a `report` of a part with `records` records, of a site that trains on `trainRecords`, whose shapes the session has checked.
 * Throws ProtocolError when its numbers cannot be, or cannot belong together; the error names the figure, never its value.
 */
export function readReport(message: Message, records: number, trainRecords: number): Report {
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
  if (reported === 1 && n !== records) throw bad('n is not the number of records of the part');
  const range = ranges(records, trainRecords, Math.sqrt(confusion?.length ?? 1));
  const absent = confusion ? ofValues : ofClasses;
  for (const name of fields) {
    const value = statistics[name];
    if (value === null || name === 'reported') continue;
    if (reported === 0 && !ofTraining.includes(name)) throw bad(`${name} is there, but reported is 0`);
    if (absent.includes(name))
      throw bad(`${name} is there, which a ${confusion ? 'classification' : 'regression'} has not`);
    const [least, most] = range[name] ?? [0, records];
    if (
      !(value >= least - rounding && value <= most + rounding) ||
      (wholeNumbers.includes(name) && !Number.isInteger(value))
    )
      throw bad(`${name} is out of its range`);
  }
  for (const [one, other] of [
    ['trainLossSum', 'trainRecords'],
    ['aucLow', 'aucHigh'],
    ['targetMean', 'targetSquares'],
  ] as const)
    if ((statistics[one] === null) !== (statistics[other] === null)) throw bad(`${one} and ${other} belong together`);
  const { auc, aucLow, aucHigh } = statistics;
  if (aucLow !== null && aucHigh !== null && !(auc !== null && aucLow <= auc + rounding && auc <= aucHigh + rounding))
    throw bad('auc is not between aucLow and aucHigh');
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
