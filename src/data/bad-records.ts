// Collects everything that is wrong with a source, so that its data manager sees all of it at once.

import { DataError } from '../base/index.ts';

/** The problems of one source. `structure` problems concern it as a whole and stop the reading; a bad record may be skipped. */
export class BadRecords {
  readonly structure: string[] = [];
  readonly #records = new Map<number, string[]>();
  readonly #places = new Map<number, number>();

  /** Notes a problem of the record in `row`. `before` says which row it stands before, where its own number does not. */
  add(row: number, problem: string, before?: number): void {
    if (before !== undefined) this.#places.set(row, before - 0.5);
    const problems = this.#records.get(row);
    if (problems === undefined) this.#records.set(row, [problem]);
    else problems.push(problem);
  }

  has(row: number): boolean {
    return this.#records.has(row);
  }

  /** The number of bad records. */
  get count(): number {
    return this.#records.size;
  }

  /** Throws DataError if anything concerns the source as a whole. */
  checkStructure(): void {
    if (this.structure.length > 0) throw new DataError('bad-data', this.structure);
  }

  /**
   * The bad records' problems, in the source's order, a line each. Throws DataError with all of them when there are more than `skipBad`
   * bad records.
   */
  skipped(skipBad: number): string[] {
    this.checkStructure();
    const placeOf = (row: number): number => this.#places.get(row) ?? row;
    const lines = [...this.#records]
      .toSorted(([a], [b]) => placeOf(a) - placeOf(b) || a - b)
      .flatMap(([, problems]) => problems);
    if (this.count <= skipBad) return lines;
    const advice =
      skipBad > 0 ? `${this.count} bad records are more than the ${skipBad} that may be skipped (--skip-bad)` : null;
    throw new DataError('bad-data', advice === null ? lines : [...lines, advice]);
  }
}
