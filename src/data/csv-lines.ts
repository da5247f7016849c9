// Where each record of a CSV file stands. A table's values are read by DuckDB, which does not tell a record's line and says nothing
// of a last record whose quote is never closed; this scan gives the lines and the number of records to hold its answer against.
// The dialect: RFC 4180 with a declared delimiter; lines end in LF, CR LF or CR; a quote counts only at a field's start.

const lineFeed = 10;
const carriageReturn = 13;
const quote = 34;

/** What a scan found. */
export interface CsvLines {
  /** The names of the first record, unquoted. */
  readonly header: readonly string[];
  /** For each record after the header, in order: the line (from 1) on which it starts, and its number of fields. */
  readonly lines: readonly number[];
  readonly fields: readonly number[];
  /** The line on which a quote opens that is never closed; 0 when there is none. */
  readonly openQuoteLine: number;
}

/** Scans a CSV file given in chunks of bytes. `delimiter` is one ASCII character. */
export async function scanCsv(chunks: AsyncIterable<Uint8Array>, delimiter: string): Promise<CsvLines> {
  const delimiterCode = delimiter.charCodeAt(0);
  const lines: number[] = [];
  const fields: number[] = [];
  const headerBytes: number[] = [];
  let inHeader = true;
  let line = 1;
  let recordLine = 1;
  let recordFields = 1;
  let recordBytes = 0;
  let fieldStart = true;
  let quoted = false;
  let quoteLine = 0;
  // A quote inside a quoted field either closes it or, doubled, stands for itself; the second one opens it again.
  let justClosed = false;
  let previous = 0;

  const endRecord = () => {
    if (inHeader) inHeader = recordBytes === 0;
    // Empty lines are no records, unless the table has one column: then they are missing values.
    else if (recordBytes > 0 || (lines.length === 0 ? singleColumn() : fields[0] === 1)) {
      lines.push(recordLine);
      fields.push(recordFields);
    }
    recordFields = 1;
    recordBytes = 0;
    fieldStart = true;
    justClosed = false;
  };
  const singleColumn = () => splitHeader(headerBytes, delimiter).length === 1;

  for await (const chunk of chunks) {
    for (const byte of chunk) {
      if (byte === lineFeed && previous === carriageReturn) {
        previous = byte;
        if (quoted && inHeader) headerBytes.push(byte);
        if (!quoted) recordLine = line;
        continue;
      }
      previous = byte;
      if (quoted) {
        if (byte === quote) {
          quoted = false;
          justClosed = true;
        }
        if (byte === lineFeed || byte === carriageReturn) line++;
        if (inHeader) headerBytes.push(byte);
        recordBytes++;
        continue;
      }
      if (byte === lineFeed || byte === carriageReturn) {
        line++;
        endRecord();
        recordLine = line;
        continue;
      }
      recordBytes++;
      if (inHeader) headerBytes.push(byte);
      if (byte === quote && (fieldStart || justClosed)) {
        quoted = true;
        quoteLine = line;
      } else if (byte === delimiterCode) {
        recordFields++;
      }
      fieldStart = byte === delimiterCode;
      justClosed = false;
    }
  }
  if (recordBytes > 0) endRecord();
  return { header: splitHeader(headerBytes, delimiter), lines, fields, openQuoteLine: quoted ? quoteLine : 0 };
}

function splitHeader(bytes: readonly number[], delimiter: string): string[] {
  const text = new TextDecoder('utf-8').decode(Uint8Array.from(bytes)).replace(/^\uFEFF/, '');
  if (text === '') return [];
  const names: string[] = [];
  let name = '';
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (quoted) {
      if (character !== '"') name += character;
      else if (text[at + 1] === '"') name += text[at++]!;
      else quoted = false;
    } else if (character === '"' && name === '') quoted = true;
    else if (character === delimiter) {
      names.push(name);
      name = '';
    } else name += character;
  }
  names.push(name);
  return names;
}
