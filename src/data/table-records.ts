// One row of a table, checked: from the texts of its declared columns to a label and the network's input columns in their own units.

import { describeInputs, inputColumns } from './inputs.ts';
import type { TableInput, TableSettings } from './settings.ts';

/** A row's content. */
export interface TableRecord {
  /** Null where no such column is declared. */
  readonly id: string | null;
  readonly group: string | null;
  readonly split: string | null;
  /** Class index or target in its unit; NaN when labels are not read. */
  readonly label: number;
  /** The input columns before standardisation; NaN where a number is missing and becomes the mean. */
  readonly inputs: Float64Array;
}

/** What came of a row: its record, or what is wrong with it beside what it calls itself and its part, or the column whose missing value drops it. */
export type CheckedRow =
  | { readonly record: TableRecord }
  | ({ readonly problems: readonly string[] } & Pick<TableRecord, 'id' | 'split'>)
  | { readonly droppedFor: string };

interface DeclaredColumn {
  readonly column: string;
  /** Where the study file declares it. */
  readonly declared: string;
}

const numberText = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** Reads rows by a table's settings. Without labels, neither target nor split nor group is read, and nothing is dropped. */
export class TableChecker {
  /** The columns to read, in the order of a row's cells. */
  readonly columns: readonly string[];
  readonly declared: readonly DeclaredColumn[];
  readonly #settings: TableSettings;
  readonly #labelled: boolean;
  readonly #commaDecimal: boolean;
  readonly #width: number;

  constructor(settings: TableSettings, options: { readonly labelled: boolean; readonly isText: boolean }) {
    this.#settings = settings;
    this.#labelled = options.labelled;
    this.#commaDecimal = options.isText && settings.decimal === ',';
    this.#width = describeInputs(settings).columns.length;
    const { id, group, split } = settings.columns;
    const declared: DeclaredColumn[] = [];
    if (id !== undefined) declared.push({ column: id, declared: 'data.columns.id' });
    if (options.labelled) {
      if (group !== undefined) declared.push({ column: group, declared: 'data.columns.group' });
      if (split !== undefined) declared.push({ column: split, declared: 'data.columns.split' });
      declared.push({ column: settings.target.column, declared: 'data.target.column' });
    }
    settings.inputs.forEach(({ column }, index) => declared.push({ column, declared: `data.inputs[${index}].column` }));
    this.declared = declared;
    this.columns = [...new Set(declared.map(({ column }) => column))];
  }

  /** Checks a row's cells, in the order of `columns`. Every problem of the row is found. */
  check(cells: readonly (string | null)[]): CheckedRow {
    const problems: string[] = [];
    let droppedFor: string | null = null;
    const cell = (column: string | undefined): string | null => {
      if (column === undefined) return null;
      const text = cells[this.columns.indexOf(column)] ?? null;
      return text !== null && this.#settings.missingMarks.includes(text) ? null : text;
    };
    const { columns, inputs, missing, target } = this.#settings;
    for (const role of ['id', 'group', 'split'] as const) {
      const column = columns[role];
      if (column === undefined || (!this.#labelled && role !== 'id')) continue;
      if (cell(column) === null) problems.push(`${column} is missing`);
    }

    let label = NaN;
    if (this.#labelled) {
      const text = cell(target.column);
      if (text !== null) label = this.#label(text, problems);
      else if (missing === 'drop') droppedFor = target.column;
      else problems.push(`the target ${target.column} is missing`);
    }

    const values = new Float64Array(this.#width);
    let at = 0;
    for (const input of inputs) {
      const policy = input.missing ?? missing;
      const text = cell(input.column);
      const width = inputColumns(input, policy).length;
      if (text !== null) this.#fill(input, text, values, at, problems);
      else if (policy === 'mean') {
        if (input.kind === 'number') values[at] = NaN;
        values[at + width - 1] = 1;
      } else if (policy === 'drop' && this.#labelled) droppedFor ??= input.column;
      else problems.push(`${input.column} is missing`);
      at += width;
    }
    const id = cell(columns.id);
    const split = this.#labelled ? cell(columns.split) : null;
    if (problems.length > 0) return { problems, id, split };
    if (droppedFor !== null) return { droppedFor };
    return { record: { id, group: this.#labelled ? cell(columns.group) : null, split, label, inputs: values } };
  }

  #label(text: string, problems: string[]): number {
    const { classes, target } = this.#settings;
    if (classes === undefined) return this.#number(target, text, problems);
    const index = classes.indexOf(text);
    if (index < 0) problems.push(`${target.column} is ${quoted(text)}, which is none of ${classes.join(', ')}`);
    return index;
  }

  #fill(input: TableInput, text: string, values: Float64Array, at: number, problems: string[]): void {
    if (input.kind === 'number') {
      values[at] = this.#number(input, text, problems);
      return;
    }
    const categories = input.categories ?? [];
    const index = categories.indexOf(text);
    if (index < 0) problems.push(`${input.column} is ${quoted(text)}, which is none of ${categories.join(', ')}`);
    else if (categories.length > 2) values[at + index] = 1;
    else values[at] = index;
  }

  #number(
    declared: { readonly column: string; readonly min?: number | undefined; readonly max?: number | undefined },
    text: string,
    problems: string[],
  ): number {
    const { column, min, max } = declared;
    const plain = text.trim();
    const point = this.#commaDecimal ? plain.replace(',', '.') : plain;
    const value = numberText.test(point) && !(this.#commaDecimal && plain.includes('.')) ? Number(point) : NaN;
    if (!Number.isFinite(value)) problems.push(`${column} is ${quoted(text)}, but a number was expected`);
    else if (min !== undefined && value < min) problems.push(`${column} is ${text}, but at least ${min} was expected`);
    else if (max !== undefined && value > max) problems.push(`${column} is ${text}, but at most ${max} was expected`);
    return value;
  }
}

/** A value from a file as it may stand in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
