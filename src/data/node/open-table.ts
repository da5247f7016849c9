// Opens a site's rows of a table, and no other.

import { DataError } from '../../base/index.ts';
import { BadRecords } from '../bad-records.ts';
import { describeInputs } from '../inputs.ts';
import type { Manifest, OpenedData, UnlabelledData } from '../listing.ts';
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

/** Opens all rows without labels, in order. A missing value is a problem unless its policy is `mean`. */
export async function openUnlabelledTable(settings: TableSettings, path: string): Promise<UnlabelledData> {
  const { columns } = describeInputs(settings);
  const source = await openTable(settings, path);
  try {
    const checker = new TableChecker(settings, { labelled: false, isText: source.isText });
    const bad = new BadRecords();
    requireColumns(source, checker.declared, bad);
    addRagged(source, bad);
    const raw = new Float64Array(source.rowCount * columns.length);
    const ids: string[] = [];
    for await (const batch of source.read(checker.columns)) {
      for (const { row, cells } of batch) {
        const checked = checker.check(cells);
        if ('record' in checked) {
          raw.set(checked.record.inputs, row * columns.length);
          ids.push(checked.record.id ?? rowId(row));
        } else if ('problems' in checked)
          for (const problem of checked.problems) bad.add(row, `${source.place(row)}: ${problem}`);
      }
    }
    bad.skipped(0);
    if (ids.length === 0) throw new DataError('missing-data', `${source.file}: holds no records`);
    return unlabelledTable(ids, raw, columns);
  } finally {
    source.close();
  }
}
