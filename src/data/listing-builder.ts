// Puts a listing together, record by record, and finds what only all of them show: an id twice, a group in two parts.

import { DataError } from '../base/index.ts';
import { BadRecords } from './bad-records.ts';
import type { ListedRecord, Listing } from './listing.ts';
import { partNames, partOfGroup } from './parts.ts';
import type { Part } from './records.ts';
import { quoted } from './table-records.ts';

/** How the source says parts and groups. */
export interface ListingRules {
  readonly seed: number;
  readonly splitNames: Readonly<Record<Part, readonly string[]>>;
  readonly fractions: Readonly<Record<Part, number>>;
  readonly classes: readonly string[] | null;
  /** What to call the source, in a message. */
  readonly source: string;
  /** Where a row stands, for a message. */
  readonly place: (row: number) => string;
}

/** A record as its source has it. */
export interface SourceRecord {
  readonly row: number;
  readonly id: string;
  /** Null where none is declared: the record is its own group. */
  readonly group: string | null;
  /** What the source calls the part; null where none is declared. */
  readonly split: string | null;
  readonly label: number;
}

/** Collects records; `finish` gives the listing. */
export class ListingBuilder {
  readonly bad = new BadRecords();
  readonly warnings: string[] = [];
  readonly #rules: ListingRules;
  readonly #partNames: ReadonlyMap<string, Part>;
  readonly #records: ListedRecord[] = [];
  readonly #rowOfId = new Map<string, number>();
  #withoutGroup = false;

  constructor(rules: ListingRules) {
    this.#rules = rules;
    this.#partNames = partNames(rules.splitNames);
  }

  /** Adds a record, or notes why it is bad. */
  add({ row, id, group, split, label }: SourceRecord): void {
    const { seed, fractions } = this.#rules;
    this.note({ row, id, split });
    const isFirst = !this.#rowOfId.has(id);
    if (isFirst) this.#rowOfId.set(id, row);
    if (group === null) this.#withoutGroup = true;
    const part = split === null ? partOfGroup(seed, group ?? id, fractions) : this.#partNames.get(split);
    if (part !== undefined && isFirst) this.#records.push({ part, label, group: group ?? id, id, row });
  }

  /** Notes what is wrong with a record's id and part, for one that is bad already and is not added. What is null is not looked at. */
  note({ row, id, split }: Pick<SourceRecord, 'row' | 'split'> & { readonly id: string | null }): void {
    const { place } = this.#rules;
    const first = id === null ? undefined : this.#rowOfId.get(id);
    if (first !== undefined) this.bad.add(row, `${place(row)}: ${quoted(id ?? '')} was already in ${place(first)}`);
    if (split === null || this.#partNames.has(split)) return;
    const names = [...this.#partNames.keys()].join(', ');
    this.bad.add(row, `${place(row)}: the part is ${quoted(split)}, which is none of ${names}`);
  }

  /**
   * The listing of all good records. Throws DataError `bad-data` when more than `skipBad` records are bad, `missing-data` when none
   * is left.
   */
  finish(skipBad: number, options: { readonly synthetic: boolean } = { synthetic: false }): Listing {
    const { place, source, classes } = this.#rules;
    const firstOfGroup = new Map<string, ListedRecord>();
    for (const record of this.#records) {
      const first = firstOfGroup.get(record.group);
      if (first === undefined) firstOfGroup.set(record.group, record);
      else if (first.part !== record.part)
        this.bad.add(
          record.row,
          `${place(record.row)}: group ${quoted(record.group)} is in ${record.part}, but in ${first.part} in ${place(first.row)}`,
        );
    }
    const skipped = this.bad.skipped(skipBad);
    const records = this.#records.filter((record) => !this.bad.has(record.row));
    if (records.length === 0) throw new DataError('missing-data', [`${source}: holds no records`, ...skipped]);
    if (this.#withoutGroup)
      this.warnings.unshift('no group is declared: each record is its own, and one patient may be in two parts');
    return { records, classes, synthetic: options.synthetic, skipped, warnings: this.warnings };
  }
}
