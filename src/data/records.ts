// What a site's data look like to the rest of Septum: three parts of records, read by row number. Where the records come from
// (images, tables, synthetic cases) is behind this interface.

import type { Tensor } from '../tensor/index.ts';

export const parts = ['train', 'val', 'test'] as const;
export type Part = (typeof parts)[number];

/** One value for each part. */
export function recordOfParts<T>(of: (part: Part) => T): Record<Part, T> {
  return { train: of('train'), val: of('val'), test: of('test') };
}

/** How a batch's records are varied: the key of the counter-based generator's values (SEMANTICS.md, "Everything random is counted"). */
export interface Augmenting {
  readonly studySeed: number;
  readonly siteIndex: number;
  readonly epoch: number;
  /** Index of the batch in this site's epoch, or the pass of `detached`. */
  readonly batchIndex: number;
  /** Where `rows` starts in that batch, when a batch is loaded in several calls. Default 0. */
  readonly firstRow?: number;
}

/** The records of one part at one site, by row 0 … count-1, in a fixed order. */
export interface Records {
  readonly count: number;
  /** Class index or target in its own unit, per row. Empty when the data have no labels (prediction). */
  readonly labels: Float64Array;
  /** The group (patient or case) of each row as a number 0 … groups-1 within this part at this site. */
  readonly groups: Int32Array;
  /** What names a row to its owner (relative path or id). It never leaves the site. */
  readonly ids: readonly string[];
  /** The network's input for the rows, float32 `[rows, ...inputDims]`, standardised; row order kept. Throws DataError. */
  load(rows: ArrayLike<number>, augmenting?: Augmenting): Promise<Tensor<'float32'>>;
}

/** A site's data. `close` releases readers and caches. */
export interface SiteData {
  readonly parts: Readonly<Record<Part, Records>>;
  close(): Promise<void>;
}
