// The small formulas that both sides compute alike: class weights, moments, and a report's statistics on the wire.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tensor } from '../tensor/index.ts';
import { classWeights } from './class-weights.ts';
import { message, type Message } from './message.ts';
import { meanAndSd } from './moments.ts';
import { decodeStatistics, emptyStatistics, encodeStatistics, readReport, type ReportStatistics } from './report.ts';

describe('class weights', () => {
  it('are all 1 unless the study balances', () => {
    expect(classWeights('none', [5, 0, 20])).toEqual([1, 1, 1]);
  });

  it('balanced have a mean of 1 over the records, and make every class weigh the same', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 1000 }), { minLength: 2, maxLength: 6 }), (counts) => {
        fc.pre(counts.some((count) => count > 0));
        const weights = classWeights('balanced', counts);
        const total = counts.reduce((sum, count) => sum + count, 0);
        const shares = counts.map((count, index) => count * weights[index]!);
        expect(shares.reduce((sum, share) => sum + share, 0) / total).toBeCloseTo(1, 12);
        for (const share of shares.filter((_, index) => counts[index]! > 0))
          expect(share).toBeCloseTo(Math.max(...shares), 6);
      }),
    );
    expect(classWeights('balanced', [10, 30])).toEqual([2, 40 / 60]);
    expect(classWeights('balanced', [10, 0, 30])).toEqual([2, 0, 40 / 60]);
  });
});

describe('moments from sums', () => {
  const of = (values: readonly number[]) =>
    meanAndSd(
      values.length,
      values.reduce((sum, value) => sum + value, 0),
      values.reduce((sum, value) => sum + value ** 2, 0),
    );

  it('are the mean and the standard deviation of the population', () => {
    expect(of([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, sd: 2, constant: false });
  });

  it('of equal values, or of none, scale by 1', () => {
    expect(of([0.1, 0.1, 0.1])).toMatchObject({ sd: 1, constant: true });
    expect(of([])).toEqual({ mean: 0, sd: 1, constant: true });
  });

  it('take a spread of less than a millionth of the mean for rounding', () => {
    expect(of([1e5, 1e5 + 1]).sd).toBeCloseTo(0.5, 3);
    expect(of([1e7, 1e7 + 1])).toMatchObject({ sd: 1, constant: true });
  });
});

describe('a report', () => {
  const told: ReportStatistics = { ...emptyStatistics(), reported: 1, n: 3, auc: 0.75, loss: 0.5, nGroups: 2 };
  const reportOf = (statistics: ReportStatistics, confusion = [2, 0, 1, 0], scores = [1, 2]): Message => {
    const histograms = new Int32Array(2000);
    [histograms[500], histograms[1999]] = scores as [number, number];
    return message('report', {
      tensors: [
        { name: 'statistics', tensor: tensor('float64', [24], encodeStatistics(statistics)) },
        { name: 'confusion', tensor: tensor('int32', [2, 2], Int32Array.from(confusion)) },
        { name: 'histograms', tensor: tensor('int32', [1, 2, 1000], histograms) },
      ],
    });
  };

  it('keeps every statistic, and which of them are not defined', () => {
    const names = Object.keys(emptyStatistics());
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.double({ noNaN: true })), { minLength: names.length, maxLength: names.length }),
        (values) => {
          const statistics = Object.fromEntries(names.map((name, index) => [name, values[index]])) as ReportStatistics;
          expect(decodeStatistics(encodeStatistics(statistics))).toEqual(statistics);
        },
      ),
    );
  });

  it('is read when its numbers belong together', () => {
    expect(readReport(reportOf(told), 3, 7).statistics).toEqual(told);
    const silent = { ...emptyStatistics(), reported: 0, trainLossSum: 3.5, trainRecords: 7 };
    expect(readReport(reportOf(silent, [0, 0, 0, 0], [0, 0]), 3, 7).statistics).toEqual(silent);
  });

  it.each<[string, Message]>([
    ['another number of records', reportOf({ ...told, n: 4 })],
    ['confusion counts of other records', reportOf(told, [2, 1, 1, 0])],
    ['a histogram of other records', reportOf(told, [2, 0, 1, 0], [1, 1])],
    ['a share above 1', reportOf({ ...told, auc: 1.5 })],
    ['a count that is none', reportOf({ ...told, nGroups: 1.5 })],
    ['neither yes nor no', reportOf({ ...told, reported: 2 })],
    ['counts where nothing is reported', reportOf({ ...told, reported: 0 })],
  ])('with %s is refused', (_what, bad) => {
    expect(() => readReport(bad, 3, 7)).toThrow(expect.objectContaining({ code: 'bad-field' }));
  });

  it.each<Partial<ReportStatistics>>([
    { nGroups: 4 },
    { nGroups: 0 },
    { trainRecords: 8, trainLossSum: 1 },
    { trainRecords: 7 },
    { trainLossSum: -1e308, trainRecords: 7 },
    { loss: -1e308 },
    { loss: 1e300 },
    { brier: 1.1 },
    { aucLow: 0.5 },
    { aucLow: 0.8, aucHigh: 0.9 },
    { aucLow: 0.6, aucHigh: 0.7 },
    { auc: null, aucLow: 0.6, aucHigh: 0.7 },
    { rmse: 1 },
  ])('of classes with %o is refused, by the name of its field', (wrong) => {
    const names = new RegExp(Object.keys(wrong).join('|'));
    expect(() => readReport(reportOf({ ...told, ...wrong }), 3, 7)).toThrow(names);
  });

  it('of nothing has no figures', () => {
    const silent = { ...emptyStatistics(), reported: 0, loss: 0.5 };
    expect(() => readReport(reportOf(silent, [0, 0, 0, 0], [0, 0]), 3, 7)).toThrow('loss is there, but reported is 0');
  });

  describe('of values', () => {
    const values: ReportStatistics = {
      ...emptyStatistics(),
      reported: 1,
      n: 3,
      loss: 1,
      rmse: 2,
      mae: 1,
      r2: -8,
      nNegative: 3,
      targetMean: -1e6,
      targetSquares: 0,
    };
    const read = (statistics: ReportStatistics) =>
      readReport(
        message('report', {
          tensors: [{ name: 'statistics', tensor: tensor('float64', [24], encodeStatistics(statistics)) }],
        }),
        3,
        7,
      );

    it('is read when its numbers can be', () => {
      expect(read(values).statistics).toEqual(values);
    });

    it.each<Partial<ReportStatistics>>([
      { nNegative: 4 },
      { rmse: 1e300 },
      { mae: -1 },
      { r2: 1.1 },
      { rmsle: 1e300 },
      { targetMean: 1e300 },
      { targetMean: null },
      { targetSquares: 1e308 },
      { auc: 0.5 },
    ])('with %o is refused, by the name of its field', (wrong) => {
      expect(() => read({ ...values, ...wrong })).toThrow(new RegExp(Object.keys(wrong)[0]!));
    });
  });
});
