// Collects everything that is wrong with a source, so that its data manager sees all of it at once.

import { DataError } from '../base/index.ts';

/** The problems of one source. `structure` problems concern it as a whole and stop the reading; a bad record may be skipped. */
export class BadRecords {
  readonly structure: string[] = [];
  readonly #records = new Map<number, string[]>();

  /** Notes a problem of the record in `row`. */
  add(row: number, problem: string): void {
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
   * The bad records' problems, in row order, a line each. Throws DataError with all of them when there are more than `skipBad`
   * bad records.
   */
  skipped(skipBad: number): string[] {
    this.checkStructure();
    const lines = [...this.#records].toSorted(([a], [b]) => a - b).flatMap(([, problems]) => problems);
    if (this.count <= skipBad) return lines;
    const advice =
      skipBad > 0 ? `${this.count} bad records are more than the ${skipBad} that may be skipped (--skip-bad)` : null;
    throw new DataError('bad-data', advice === null ? lines : [...lines, advice]);
  }
}
