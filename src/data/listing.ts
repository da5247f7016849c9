// What is known about a study's records before any is opened: labels, parts, groups and names, but no pixels and no inputs.

import type { Part, Records, SiteData } from './records.ts';
import type { Poolable, Standardisation } from './pooling.ts';
import type { DataSettings } from './settings.ts';

/** One record, as listed. */
export interface ListedRecord {
  readonly part: Part;
  /** Class index, or the target in its unit. */
  readonly label: number;
  /** Patient or case. */
  readonly group: string;
  /** What names the record to its owner: a path below the data folder, or an id. Unique. */
  readonly id: string;
  /** Its row in the source, from 0: a table's row, a synthetic record's index, a place in the list of files. */
  readonly row: number;
}

/** The records of a folder, table or synthetic case, in the source's order. */
export interface Listing {
  readonly records: readonly ListedRecord[];
  /** Class names; null for regression. */
  readonly classes: readonly string[] | null;
  /** Whether the records are computed rather than real. */
  readonly synthetic: boolean;
  /** What was skipped and why, a line each. */
  readonly skipped: readonly string[];
  /** What a careful reader of the report should know: each record its own group, undeclared columns and the like. */
  readonly warnings: readonly string[];
}

/** How records are listed. */
export interface ListOptions {
  /** The study's seed: where no split is declared, a group's part is a hash of it and the group. */
  readonly seed: number;
  /** How many bad records may be skipped (each is named in `skipped`). Default 0. */
  readonly skipBad?: number;
  /** Ends a long listing early; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told, after each image, how many have been checked. */
  readonly onChecked?: ((images: number) => void) | undefined;
}

/** One part's records at one site; arrays of the same length, in the source's order. */
export interface ManifestPart {
  readonly ids: readonly string[];
  readonly rows: readonly number[];
  readonly labels: readonly number[];
  /** 0 … groups-1 within this part at this site. */
  readonly groups: readonly number[];
}

/** The records that one site is given, as JSON. A site process opens these and no other. */
export interface Manifest {
  readonly version: 1;
  readonly site: number;
  readonly siteCount: number;
  readonly classes: readonly string[] | null;
  readonly synthetic: boolean;
  readonly parts: Readonly<Record<Part, ManifestPart>>;
}

/** How a site's records are opened. */
export interface OpenOptions {
  /** The most bytes that decoded images may take in memory. Default 512 MiB. */
  readonly cacheBytesMax?: number;
  /** How the bytes of an image file are read; for who wants to watch which files are opened. */
  readonly readFile?: (path: string) => Promise<Uint8Array>;
}

/** A site's opened records, and what they give to and take from the pool. */
export interface OpenedData extends SiteData {
  readonly pooling: Poolable;
  /**
   * Reads training records before they are asked for, while `mayGoOn` says so and memory may keep them. A record that was not read is
   * read when it is loaded. Absent where reading takes no time, or takes this thread's. Throws DataError.
   */
  readonly readAhead?: (mayGoOn: () => boolean) => Promise<void>;
}

/**
 * Lists the records of `path` (a folder or file; not looked at for synthetic records) without opening them.
 * Throws DataError with every problem that was found, each with its file and line.
 */
export type ListRecords = (settings: DataSettings, path: string, options: ListOptions) => Promise<Listing>;

/** Opens a manifest's records and no other. Throws DataError: the table was changed. An image
 * that is gone or broken is a DataError when its row is read ahead or loaded. */
export type OpenSiteData = (
  settings: DataSettings,
  path: string,
  manifest: Manifest,
  options?: OpenOptions,
) => Promise<OpenedData>;

/** Opens all records of `path` without labels, in the source's order, for prediction. Same errors as listing. */
export type OpenUnlabelled = (
  settings: DataSettings,
  path: string,
  options?: OpenOptions & Omit<ListOptions, 'seed'>,
) => Promise<UnlabelledData>;

/** Records to predict. `labels` is empty. */
export interface UnlabelledData {
  readonly records: Records;
  /** What was skipped and why, and what a careful reader should know, a line each. */
  readonly remarks: readonly string[];
  setStandardisation(inputs: Standardisation): void;
  close(): Promise<void>;
}

/** A part of records without labels, each its own group. */
export function unlabelledPart(ids: readonly string[]): ManifestPart {
  const rows = ids.map((_, row) => row);
  return { ids, rows, labels: [], groups: rows };
}
