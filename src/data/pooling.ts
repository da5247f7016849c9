// Standardisation without sharing: each site counts, adds up and squares its training records, the server adds the sites' sums, and
// everyone derives the same means and standard deviations from the total. Sums are float64.

import { assert } from '../base/index.ts';
import { meanAndSd } from '../protocol/index.ts';
import type { Part } from './records.ts';

/** Sums over one part's records, for each column: numbers present, their sum, the sum of their squares. */
export interface ColumnSums {
  readonly counts: readonly number[];
  readonly sums: readonly number[];
  readonly squares: readonly number[];
}

/** The mean and standard deviation of each column. A column that is not standardised has 0 and 1. */
export interface Standardisation {
  readonly mean: readonly number[];
  readonly sd: readonly number[];
}

/** What a site gives to the pool: sums over its training part only. */
export interface PooledSums {
  /** For each of `describeInputs(settings).columns`. A category's or an indicator's entries are 0, for it is not standardised. Empty for images. */
  readonly inputs: ColumnSums;
  /** One column: the regression target, in its unit. Empty for classes. */
  readonly target: ColumnSums;
}

/** What site data need to know from the other sites before their records can be loaded. */
export interface Poolable {
  /** This site's sums; the same at every call. */
  sums(): PooledSums;
  /** Sets the pooled means and standard deviations of the inputs. A table's records cannot be loaded before; images need none. */
  setStandardisation(inputs: Standardisation): void;
  /** Records of each class in each part; one number, the records, for regression. */
  classCounts(): Readonly<Record<Part, readonly number[]>>;
}

/** The standardisation of a pool, and the columns that had nothing to scale by. */
export interface PooledStandardisation {
  readonly inputs: Standardisation;
  /** One number each; empty for classes. The network puts out z; the prediction is mean + sd·z. */
  readonly target: Standardisation;
  /** Indices of number columns whose values are all the same, or that have none: their sd was taken as 1. */
  readonly constant: readonly number[];
}

/** The sums of columns given as rows, `[rows][columns]`. A NaN is a missing value and is not counted. */
export function columnSums(rows: Iterable<ArrayLike<number>>, columns: number): ColumnSums {
  const counts = new Array<number>(columns).fill(0);
  const sums = new Array<number>(columns).fill(0);
  const squares = new Array<number>(columns).fill(0);
  for (const row of rows) {
    for (let column = 0; column < columns; column++) {
      const value = row[column] as number;
      if (Number.isNaN(value)) continue;
      counts[column]! += 1;
      sums[column]! += value;
      squares[column]! += value * value;
    }
  }
  return { counts, sums, squares };
}

/** The total of several sites' sums, added in the given order. All must have the same columns. */
export function addSums(sites: readonly ColumnSums[]): ColumnSums {
  const columns = sites[0]?.counts.length ?? 0;
  const add = (of: (site: ColumnSums) => readonly number[]) => {
    const total = new Array<number>(columns).fill(0);
    for (const site of sites) {
      assert(of(site).length === columns, 'sites give sums of the same columns');
      for (let column = 0; column < columns; column++) total[column]! += of(site)[column]!;
    }
    return total;
  };
  return { counts: add((site) => site.counts), sums: add((site) => site.sums), squares: add((site) => site.squares) };
}

/**
 * Means and standard deviations (of the population: divided by the count) of the pooled records.
 * A column with no values has mean 0, sd 1; one of equal values has sd 1.
 */
export function standardisation(sites: readonly ColumnSums[]): Standardisation & { constant: readonly number[] } {
  const { counts, sums, squares } = addSums(sites);
  const constant: number[] = [];
  const moments = counts.map((count, column) => meanAndSd(count, sums[column]!, squares[column]!));
  const mean = moments.map((moment) => moment.mean);
  const sd = moments.map((moment, column) => {
    if (moment.constant && counts[column]! > 0) constant.push(column);
    return moment.sd;
  });
  return { mean, sd, constant };
}

/** The pool's standardisation from every site's sums, in site order. */
export function poolStandardisation(sites: readonly PooledSums[]): PooledStandardisation {
  const inputs = standardisation(sites.map((site) => site.inputs));
  const target = standardisation(sites.map((site) => site.target));
  const constant = inputs.constant.filter((column) => sites.some((site) => site.inputs.counts[column]! > 0));
  return {
    inputs: { mean: inputs.mean, sd: inputs.sd },
    target: { mean: target.mean, sd: target.sd },
    constant,
  };
}
