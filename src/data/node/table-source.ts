// Reads CSV and Parquet files through DuckDB: every value as text, whatever its type, so that one checker judges both and a wrong
// value can be quoted as it stands. Only the asked columns, and only the asked rows, come out.

import { DuckDBInstance, LIST, BIGINT, listValue, type DuckDBConnection } from '@duckdb/node-api';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { DataError, messageOf } from '../../base/index.ts';
import { scanCsv } from '../csv-lines.ts';

/** One row of a table. Cells are in the order of the asked columns; an empty or missing one is null. */
export interface TableRow {
  /** From 0, ragged records of a CSV file not counted. */
  readonly row: number;
  readonly cells: readonly (string | null)[];
}

/** A record of a CSV file that has not as many fields as the header, and is no row for that. */
export interface RaggedRecord {
  readonly line: number;
  readonly fields: number;
}

/** An open CSV or Parquet file. Throws DataError with the file's path. */
export class TableSource {
  readonly file: string;
  readonly columns: readonly string[];
  readonly rowCount: number;
  readonly ragged: readonly RaggedRecord[];
  /** Whether the file is text, with a declared decimal mark and lines. */
  readonly isText: boolean;
  readonly #lines: readonly number[];
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;

  private constructor(file: string, instance: DuckDBInstance, connection: DuckDBConnection, shape: TableShape) {
    this.file = file;
    this.#instance = instance;
    this.#connection = connection;
    this.columns = shape.columns;
    this.rowCount = shape.rowCount;
    this.#lines = shape.lines ?? [];
    this.ragged = shape.ragged;
    this.isText = shape.lines !== null;
  }

  /** Opens `file`: Parquet if its name ends so, otherwise CSV in UTF-8 with a header and the given delimiter. */
  static async open(file: string, delimiter: string): Promise<TableSource> {
    const info = await stat(file).catch((cause: unknown) => {
      throw new DataError('missing-data', `${file}: there is no such file`, { cause });
    });
    if (!info.isFile()) throw new DataError('missing-data', `${file}: is a folder, but a table was expected`);
    // Extensions would be fetched from the network; what CSV and Parquet need is built in. One thread keeps a file's row order.
    const instance = await DuckDBInstance.create(':memory:', {
      threads: '1',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    const connection = await instance.connect();
    try {
      const shape = /\.parquet$/i.test(file)
        ? await describeParquet(file, connection)
        : await describeCsv(file, delimiter, connection);
      return new TableSource(file, instance, connection, shape);
    } catch (cause) {
      connection.closeSync();
      instance.closeSync();
      if (cause instanceof DataError) throw cause;
      throw new DataError('bad-file', `${file}: cannot be read as a table: ${firstLine(cause)}`, { cause });
    }
  }

  /** The file and line (of a text) or row (from 1) of a row, for a message. */
  place(row: number): string {
    return this.isText ? `${this.file}, line ${this.#lines[row]}` : `${this.file}, row ${row + 1}`;
  }

  /** How many rows of a text stand above a line. */
  rowsAbove(line: number): number {
    let [from, to] = [0, this.#lines.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#lines[middle] as number) < line) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** The given columns of the given rows (default: all), in the file's order, in batches. Every column must be one of `columns`. */
  async *read(columns: readonly string[], rows?: readonly number[]): AsyncGenerator<TableRow[]> {
    const select = columns.map((column) => {
      const index = this.columns.indexOf(column);
      const name = this.isText ? `c${index}` : column.replaceAll('"', '""');
      return `CAST("${name}" AS VARCHAR)`;
    });
    const query = `SELECT "${rowColumn}"${select.map((column) => `, ${column}`).join('')} FROM source`;
    const stream =
      rows === undefined
        ? await this.#connection.stream(`${query} ORDER BY "${rowColumn}"`)
        : await this.#connection.stream(
            `${query} WHERE "${rowColumn}" IN (SELECT unnest($1)) ORDER BY "${rowColumn}"`,
            [listValue(rows.map((row) => BigInt(row)))],
            [LIST(BIGINT)],
          );
    for (;;) {
      const chunk = await stream.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk.getRows().map(([row, ...cells]) => ({
        row: Number(row),
        cells: cells.map((cell) => (cell === null || cell === '' ? null : String(cell))),
      }));
    }
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

interface TableShape {
  readonly columns: readonly string[];
  readonly rowCount: number;
  /** The line of each row of a CSV file; null for Parquet. */
  readonly lines: readonly number[] | null;
  readonly ragged: readonly RaggedRecord[];
}

const rowColumn = 'septum row';

/** Makes the view `source` of a Parquet file: the row number, then its columns. */
async function describeParquet(path: string, connection: DuckDBConnection): Promise<TableShape> {
  await connection.run(
    `CREATE VIEW source AS SELECT file_row_number AS "${rowColumn}", * EXCLUDE (file_row_number)
     FROM read_parquet(${pathLiteral(path)}, file_row_number = true)`,
  );
  const described = await connection.runAndReadAll('DESCRIBE source');
  const [, ...columns] = described.getRows().map(([column]) => String(column));
  return { columns, rowCount: await countRows(connection), lines: null, ragged: [] };
}

/** Makes the view `source` of a CSV file: the row number, then columns c0, c1 … (DuckDB wants unlike names, a header may not have them). */
async function describeCsv(path: string, delimiter: string, connection: DuckDBConnection): Promise<TableShape> {
  const scan = await scanCsv(createReadStream(path), delimiter);
  if (scan.openQuoteLine > 0)
    throw new DataError('bad-file', `${path}, line ${scan.openQuoteLine}: a quote is opened and never closed`);
  if (scan.header.length === 0)
    throw new DataError('bad-file', `${path}: is empty, but a header was expected in line 1`);
  const types = scan.header.map((_, index) => `'c${index}': 'VARCHAR'`).join(', ');
  await connection.run(
    `CREATE VIEW source AS SELECT row_number() OVER () - 1 AS "${rowColumn}", *
     FROM read_csv(${pathLiteral(path)}, auto_detect = false, header = true, columns = {${types}}, delim = '${delimiter}',
       quote = '"', escape = '"', comment = '', skip = 0, ignore_errors = true, store_rejects = true, parallel = false)`,
  );
  const ragged: RaggedRecord[] = [];
  const lines: number[] = [];
  scan.fields.forEach((fields, index) => {
    if (fields === scan.header.length) lines.push(scan.lines[index]!);
    else ragged.push({ line: scan.lines[index]!, fields });
  });
  // DuckDB leaves out a record that it cannot read only where the broken column is asked for: the rows are counted with all of them,
  // so that a row has the same number whatever is read later.
  const rowCount = await countRows(
    connection,
    `WHERE hash(${scan.header.map((_, index) => `c${index}`).join(', ')}) >= 0`,
  );
  if (rowCount !== lines.length) {
    const rejects = await connection.runAndReadAll(
      'SELECT DISTINCT line, error_message FROM reject_errors ORDER BY line',
    );
    const raggedLines = new Set(ragged.map(({ line }) => line));
    const problems = rejects
      .getRows()
      .filter(([line]) => !raggedLines.has(Number(line)))
      .map(([line, reason]) => `${path}, about line ${String(line)}: ${String(reason).split('\n')[0]}`);
    throw new DataError('bad-file', [
      ...problems,
      `${path}: has ${lines.length} records of ${scan.header.length} fields, but ${rowCount} can be read`,
    ]);
  }
  return { columns: scan.header, rowCount, lines, ragged };
}

async function countRows(connection: DuckDBConnection, where = ''): Promise<number> {
  const counted = await connection.runAndReadAll(`SELECT count(*) FROM source ${where}`);
  return Number(counted.getRows()[0]![0]);
}

/** A path as an SQL text; DuckDB would take `*`, `?` and `[` as patterns. */
function pathLiteral(path: string): string {
  return `'${path.replace(/[[*?]/g, (mark) => `[${mark}]`).replaceAll("'", "''")}'`;
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n')[0]!;
}
