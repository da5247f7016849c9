// How one machine's records were dealt among a study's sites, kept with the model so that they can be dealt the same way again.

import { sha256Hex } from '../base/index.ts';
import { deal, type Listing, type Manifest, manifestCounts, type Part, parts } from '../data/index.ts';
import type { SiteShares } from './planned-study.ts';

/** A dealing, as model.json holds it. */
export interface Dealing {
  readonly names: readonly string[];
  readonly ratio: readonly number[];
  /** SHA-256 of the list of records: the same data, whole and in the same order, or not. */
  readonly records: string;
  /** The counts reached, of each class (one number for a regression), by site and part. */
  readonly counts: Readonly<Record<string, Readonly<Record<Part, readonly number[]>>>>;
}

/** Deals a listing as `septum run` does. Throws ConfigError for a bad ratio. */
export function dealStudy(
  listing: Listing,
  { names, ratio }: SiteShares,
): { readonly dealing: Dealing; readonly manifests: readonly Manifest[] } {
  const manifests = deal(listing, ratio);
  const counts = Object.fromEntries(manifests.map((manifest, site) => [names[site] ?? '', manifestCounts(manifest)]));
  return { dealing: { names, ratio, records: listingHash(listing), counts }, manifests };
}

/** Whether a listing is the one that was dealt. */
export function isDealt(dealing: Dealing, listing: Listing): boolean {
  return dealing.records === listingHash(listing);
}

function listingHash({ records }: Listing): string {
  const lines = records.map(({ part, label, group, id, row }) =>
    JSON.stringify([parts.indexOf(part), label, group, id, row]),
  );
  return sha256Hex(new TextEncoder().encode(lines.join('\n')));
}
