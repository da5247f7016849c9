// Dealing records to sites: each part apart, whole groups, classes in proportion (SEMANTICS.md, "Data and dealing").
// The result depends on the records and the ratio alone; no seed plays a part.

import { ConfigError } from '../base/index.ts';
import type { ListedRecord, Listing, Manifest, ManifestPart } from './listing.ts';
import { parts, type Part } from './records.ts';

// Keeps the products below exact in float64 for 1e5 records a group and 1e7 in all.
const largestShare = 1000;

/**
 * Deals a listing among `ratio.length` sites in the given ratio of positive integers.
 * Within a part, groups go by size (largest first), then by id (by UTF-16 code unit), each to the site where it most reduces
 * Σ over classes of (count - due)²; ties go to the lower index. Regression counts as one class. Throws ConfigError for a bad ratio.
 */
export function deal(listing: Listing, ratio: readonly number[]): Manifest[] {
  if (ratio.length === 0 || !ratio.every((share) => Number.isInteger(share) && share > 0 && share <= largestShare))
    throw new ConfigError(
      'bad-usage',
      `ratio ${ratio.join(':')}: expected one integer of 1 to ${largestShare} for each site, like 7:2:1`,
    );
  const dealt = ratio.map(() => ({}) as Record<Part, ManifestPart>);
  for (const part of parts) {
    const sites = dealPart(
      listing.records.filter((record) => record.part === part),
      listing.classes?.length ?? 1,
      listing.classes !== null,
      ratio,
    );
    sites.forEach((records, site) => (dealt[site]![part] = manifestPart(records)));
  }
  return dealt.map((site, index) => ({
    version: 1,
    site: index,
    siteCount: ratio.length,
    classes: listing.classes,
    synthetic: listing.synthetic,
    parts: site,
  }));
}

/** Records of each class in each part of a manifest; one number, the records, for regression. */
export function manifestCounts(manifest: Manifest): Record<Part, number[]> {
  const count = ({ labels }: ManifestPart) => {
    if (manifest.classes === null) return [labels.length];
    const counts = manifest.classes.map(() => 0);
    for (const label of labels) counts[label]! += 1;
    return counts;
  };
  const { train, val, test } = manifest.parts;
  return { train: count(train), val: count(val), test: count(test) };
}

interface Group {
  readonly id: string;
  readonly records: ListedRecord[];
  readonly counts: number[];
}

function dealPart(
  records: readonly ListedRecord[],
  classCount: number,
  classified: boolean,
  ratio: readonly number[],
): ListedRecord[][] {
  const groups = new Map<string, Group>();
  const totals = new Array<number>(classCount).fill(0);
  for (const record of records) {
    let group = groups.get(record.group);
    if (group === undefined) {
      group = { id: record.group, records: [], counts: new Array<number>(classCount).fill(0) };
      groups.set(record.group, group);
    }
    const label = classified ? record.label : 0;
    group.records.push(record);
    group.counts[label]! += 1;
    totals[label]! += 1;
  }
  const inOrder = [...groups.values()].toSorted(
    (a, b) => b.records.length - a.records.length || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );

  // Adding g to a site changes Σ (count - due)² by Σ g² + 2 Σ g·(count - due). Σ g² is the same at every site, so the site with the
  // smallest Σ g·(count - due) gains most. Both sides are multiplied by the ratio's total: integers, so that ties are exact.
  const shares = ratio.reduce((sum, share) => sum + share, 0);
  const surplus = ratio.map((share) => totals.map((total) => -total * share));
  const sites = ratio.map((): ListedRecord[] => []);
  for (const group of inOrder) {
    let best = 0;
    let bestChange = Infinity;
    for (let site = 0; site < ratio.length; site++) {
      const missing = surplus[site]!;
      let change = 0;
      for (let label = 0; label < classCount; label++) change += group.counts[label]! * missing[label]!;
      if (change < bestChange) {
        best = site;
        bestChange = change;
      }
    }
    for (let label = 0; label < classCount; label++) surplus[best]![label]! += group.counts[label]! * shares;
    for (const record of group.records) sites[best]!.push(record);
  }
  for (const site of sites) site.sort((a, b) => a.row - b.row);
  return sites;
}

function manifestPart(records: readonly ListedRecord[]): ManifestPart {
  const numbers = new Map<string, number>();
  const groups = records.map(({ group }) => {
    const number = numbers.get(group) ?? numbers.size;
    numbers.set(group, number);
    return number;
  });
  return {
    ids: records.map((record) => record.id),
    rows: records.map((record) => record.row),
    labels: records.map((record) => record.label),
    groups,
  };
}
