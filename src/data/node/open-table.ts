// Opens a site's rows of a table, and no other.

import { DataError } from '../../base/index.ts';
import { BadRecords } from '../bad-records.ts';
import { describeInputs } from '../inputs.ts';
import type { ListOptions, Manifest, OpenedData, UnlabelledData } from '../listing.ts';
import { parts, recordOfParts, type Part } from '../records.ts';
import type { TableSettings } from '../settings.ts';
import { tableData, unlabelledTable } from '../table-data.ts';
import { TableChecker } from '../table-records.ts';
import { addRagged, openTable, requireColumns, rowId } from './list-table.ts';

/** Opens a manifest's rows. Throws DataError when the table is not the one that was dealt. */
export async function openTableData(settings: TableSettings, path: string, manifest: Manifest): Promise<OpenedData> {
  const { columns } = describeInputs(settings);
  const width = columns.length;
  const raw = recordOfParts((part) => new Float64Array(manifest.parts[part].rows.length * width));
  const wanted = new Map<number, { readonly part: Part; readonly index: number }>();
  for (const part of parts) manifest.parts[part].rows.forEach((row, index) => wanted.set(row, { part, index }));

  const source = await openTable(settings, path);
  try {
    const checker = new TableChecker(settings, { labelled: true, isText: source.isText });
    const problems: string[] = [];
    const bad = new BadRecords();
    requireColumns(source, checker.declared, bad);
    let found = 0;
    for await (const batch of source.read(checker.columns, [...wanted.keys()])) {
      for (const { row, cells } of batch) {
        const { part, index } = wanted.get(row)!;
        const listed = manifest.parts[part];
        const checked = checker.check(cells);
        const record = 'record' in checked ? checked.record : null;
        found++;
        if (record !== null && (record.id ?? rowId(row)) === listed.ids[index] && record.label === listed.labels[index])
          raw[part].set(record.inputs, index * width);
        else problems.push(`${source.place(row)}: is not the record that was dealt: the table was changed`);
      }
    }
    if (found < wanted.size)
      problems.push(`${source.file}: ${wanted.size - found} of the records that were dealt are gone`);
    if (problems.length > 0) throw new DataError('bad-data', problems);
  } finally {
    source.close();
  }
  return tableData(manifest.parts, raw, columns, manifest.classes);
}

/**
 * Opens all rows without labels, in order. A missing value is a problem unless its policy is `mean`. A table without the declared id
 * column is taken too: its rows are called by their numbers.
 */
export async function openUnlabelledTable(
  declared: TableSettings,
  path: string,
  { skipBad = 0, signal }: Omit<ListOptions, 'seed'> = {},
): Promise<UnlabelledData> {
  const { columns } = describeInputs(declared);
  const source = await openTable(declared, path);
  try {
    const { id, ...otherColumns } = declared.columns;
    const unnamed = id !== undefined && !source.columns.includes(id);
    const settings = unnamed ? { ...declared, columns: otherColumns } : declared;
    const checker = new TableChecker(settings, { labelled: false, isText: source.isText });
    const bad = new BadRecords();
    requireColumns(source, checker.declared, bad);
    addRagged(source, bad);
    const raw = new Float64Array(source.rowCount * columns.length);
    const ids: string[] = [];
    for await (const batch of source.read(checker.columns)) {
      signal?.throwIfAborted();
      for (const { row, cells } of batch) {
        const checked = checker.check(cells);
        if ('record' in checked) {
          raw.set(checked.record.inputs, ids.length * columns.length);
          ids.push(checked.record.id ?? rowId(row));
        } else if ('problems' in checked)
          for (const problem of checked.problems) bad.add(row, `${source.place(row)}: ${problem}`);
      }
    }
    const remarks = bad.skipped(skipBad);
    if (ids.length === 0) throw new DataError('missing-data', [`${source.file}: holds no records`, ...remarks]);
    if (unnamed) remarks.push(`${source.file} has no column ${id} (data.columns.id): rows are called by their numbers`);
    return unlabelledTable(ids, raw.subarray(0, ids.length * columns.length), columns, remarks);
  } finally {
    source.close();
  }
}
