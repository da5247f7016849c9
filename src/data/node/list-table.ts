// Lists the records of a CSV or Parquet table: every declared column of every row is checked, so that training meets no bad value.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../base/index.ts';
import type { BadRecords } from '../bad-records.ts';
import { ListingBuilder } from '../listing-builder.ts';
import type { ListOptions, Listing } from '../listing.ts';
import type { TableSettings } from '../settings.ts';
import { TableChecker } from '../table-records.ts';
import { TableSource } from './table-source.ts';

/** Lists a table. Throws DataError with every problem. */
export async function listTable(settings: TableSettings, path: string, options: ListOptions): Promise<Listing> {
  const source = await openTable(settings, path);
  try {
    const checker = new TableChecker(settings, { labelled: true, isText: source.isText });
    const builder = new ListingBuilder({
      seed: options.seed,
      splitNames: settings.splitNames,
      fractions: settings.fractions,
      classes: settings.classes ?? null,
      source: source.file,
      place: (row) => source.place(row),
    });
    requireColumns(source, checker.declared, builder.bad);
    addRagged(source, builder.bad);
    const dropped = new Map<string, number>();
    for await (const batch of source.read(checker.columns)) {
      for (const { row, cells } of batch) {
        const checked = checker.check(cells);
        if ('problems' in checked) {
          for (const problem of checked.problems) builder.bad.add(row, `${source.place(row)}: ${problem}`);
          builder.note({ row, id: checked.id, split: checked.split });
        } else if ('droppedFor' in checked) dropped.set(checked.droppedFor, (dropped.get(checked.droppedFor) ?? 0) + 1);
        else builder.add({ ...checked.record, row, id: checked.record.id ?? rowId(row) });
      }
    }
    for (const [column, count] of dropped)
      builder.warnings.push(`${count} records were dropped because ${column} is missing (data.missing: drop)`);
    warnOfSplit(source, settings, builder);
    return builder.finish(options.skipBad ?? 0);
  } finally {
    source.close();
  }
}

/** Opens the table of `path`, which is the file itself or the folder with `settings.file`. */
export async function openTable(settings: TableSettings, path: string): Promise<TableSource> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new DataError('missing-data', `${path}: there is no such file or folder`, { cause });
  });
  if (!info.isDirectory()) return TableSource.open(path, settings.delimiter);
  if (settings.file === undefined)
    throw new DataError('missing-data', `${path}: is a folder: name the table in data.file, or give the file itself`);
  return TableSource.open(join(path, settings.file), settings.delimiter);
}

/** What a record without an id column is called. */
export function rowId(row: number): string {
  return `row ${row + 1}`;
}

/** Notes every declared column that the table lacks or has twice, and stops if there is one. */
export function requireColumns(
  source: TableSource,
  declared: readonly { readonly column: string; readonly declared: string }[],
  bad: BadRecords,
): void {
  const place = source.isText ? `${source.file}, line 1` : source.file;
  for (const { column, declared: where } of declared) {
    const count = source.columns.filter((name) => name === column).length;
    if (count === 1) continue;
    bad.structure.push(
      count === 0
        ? `${place}: has no column ${column} (${where}); it has ${source.columns.join(', ')}`
        : `${place}: has ${count} columns ${column} (${where})`,
    );
  }
  bad.checkStructure();
}

/** Notes records that have too few or too many fields; they are no rows, and numbered after all rows. */
export function addRagged(source: TableSource, bad: BadRecords): void {
  source.ragged.forEach(({ line, fields }, index) =>
    bad.add(
      source.rowCount + index,
      `${source.file}, line ${line}: has ${fields} fields, but the header has ${source.columns.length}`,
      source.rowsAbove(line),
    ),
  );
}

/** Warns where a table plainly has a split that the study does not use. */
export function warnOfSplit(
  source: TableSource,
  settings: { readonly columns: { readonly split?: string | undefined } },
  builder: ListingBuilder,
): void {
  if (settings.columns.split === undefined && source.columns.includes('split'))
    builder.warnings.push(
      `${source.file} has a column split that data.columns.split does not name: parts come from a hash of the group`,
    );
}
