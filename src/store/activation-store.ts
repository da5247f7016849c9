// Where the server keeps the activations of `detached`: written once by uploads that may break off and go on, then read in any
// order while the server trains alone.
//
// A section is what one site uploaded of one part in one pass (pass 0 as the records are, further ones augmented). Its rows come
// in chunks 0, 1, 2 …, each with a checksum. Appending is idempotent, so a site that does not know whether a chunk arrived sends it again.
// What `append` acknowledged survives a crash of the process or the machine.

import type { Tensor } from '../tensor/index.ts';

export interface SectionKey {
  readonly site: string;
  readonly part: 'train' | 'val' | 'test';
  /** 0 to 999 999 999. */
  readonly pass: number;
}

/** Consecutive rows of a section. */
export interface ActivationChunk extends SectionKey {
  /** 0, 1, 2 … within the section. */
  readonly index: number;
  /** `[rows, ...rowDims]`; at least one row. */
  readonly activations: Tensor<'float32'>;
  /** Class index or target, per row; finite. */
  readonly labels: Float64Array;
  /** Group number, per row. */
  readonly groups: Int32Array;
}

/** What is known of a section without reading its activations; not to be changed. */
export interface Section extends SectionKey {
  readonly chunkCount: number;
  readonly rowCount: number;
  /** Per row, in the order of the chunks. */
  readonly labels: Float64Array;
  readonly groups: Int32Array;
}

/** One row: the section it is in and its number there. */
export interface RowPick {
  readonly section: SectionKey;
  readonly row: number;
}

export interface ActivationStore extends AsyncDisposable {
  /** The shape of one row, the cut's without the batch: `[channels, height, width]`, for example. */
  readonly rowDims: readonly number[];

  /**
   * Adds the section's next chunk. One that is there already is accepted again if it is the same. The chunk must not change until
   * it resolves. Throws DataError `bad-data` for another shape, another content under an index that is taken, a chunk out of
   * turn, values that are not finite among the labels, or a new chunk of a sealed site; `bad-file` when it cannot be written.
   */
  append(chunk: ActivationChunk): Promise<void>;

  /** What has arrived of a section; a resumed upload goes on at chunk `chunkCount`. Empty if nothing has. */
  section(key: SectionKey): Section;

  /** All sections with at least one row, sorted by site, part (train, val, test) and pass. */
  sections(): readonly Section[];

  /** Notes that the site has uploaded everything. A second call does nothing. */
  seal(site: string): Promise<void>;
  isSealed(site: string): boolean;

  /** Deletes all that has arrived of the site; nobody may read it meanwhile. Nothing is done where there is nothing. Throws DataError `bad-file`. */
  remove(site: string): Promise<void>;

  /**
   * Activations `[picks.length, ...rowDims]` in the order of the picks; the caller owns them. Throws DataError `missing-data` for
   * a row that is not there, `bad-file` when it cannot be read.
   */
  read(picks: readonly RowPick[]): Promise<Tensor<'float32'>>;

  close(): Promise<void>;
}
