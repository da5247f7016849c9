// What the declared data look like to the network and to its author: the input's shape and columns, and what is predicted.

import type { DataSettings, TableInput, TableSettings } from './settings.ts';

/** What is predicted: a class, or a number in its unit. */
export type Target =
  | { readonly kind: 'classification'; readonly classes: readonly string[]; readonly positive: string | undefined }
  | { readonly kind: 'regression'; readonly column: string; readonly unit: string };

/** One column of a table's input, in the network's order. */
export interface InputColumn {
  readonly name: string;
  /** A number in its unit; 1 or 0 for a category; 1 where the value of a column was missing. Only numbers are standardised. */
  readonly kind: 'number' | 'category' | 'missing';
  readonly unit: string;
  /** The column of the table that it comes from. */
  readonly source: string;
}

/** The network's input. */
export interface InputDescription {
  /** Dimensions after the batch: `[columns]` or `[channels, height, width]`. */
  readonly dims: readonly number[];
  /** The columns of a table; empty for images. */
  readonly columns: readonly InputColumn[];
  /** The declared (value - mean) / sd of each channel of an image; null where there is none. */
  readonly pixels: { readonly mean: readonly number[]; readonly sd: readonly number[] } | null;
  /** Whether the records are computed rather than real. */
  readonly synthetic: boolean;
}

/** The seven inputs of the synthetic `cholesterol` case. */
export const cholesterolInputs: readonly InputColumn[] = [
  { name: 'age', kind: 'number', unit: 'years', source: 'age' },
  { name: 'sex=female', kind: 'category', unit: '1', source: 'sex' },
  { name: 'height', kind: 'number', unit: 'cm', source: 'height' },
  { name: 'weight', kind: 'number', unit: 'kg', source: 'weight' },
  { name: 'tc', kind: 'number', unit: 'mg/dL', source: 'tc' },
  { name: 'hdl', kind: 'number', unit: 'mg/dL', source: 'hdl' },
  { name: 'tg', kind: 'number', unit: 'mg/dL', source: 'tg' },
];

/** What the study predicts. */
export function targetOf(settings: DataSettings): Target {
  if (settings.kind === 'synthetic') {
    switch (settings.case) {
      case 'cholesterol':
        return { kind: 'regression', column: 'ldl', unit: 'mg/dL' };
      case 'covid-ct':
        return { kind: 'classification', classes: ['non-covid', 'covid'], positive: 'covid' };
      case 'bone-xray':
        return { kind: 'classification', classes: ['normal', 'abnormal'], positive: 'abnormal' };
    }
  }
  const { classes, positive } = settings;
  if (classes !== undefined) return { kind: 'classification', classes, positive };
  const { column, unit } = (settings as TableSettings).target;
  return { kind: 'regression', column, unit: unit ?? '1' };
}

/** The input's shape, columns and pixel scaling. */
export function describeInputs(settings: DataSettings): InputDescription {
  const synthetic = settings.kind === 'synthetic';
  if (settings.kind === 'table') {
    const columns = settings.inputs.flatMap((input) => inputColumns(input, input.missing ?? settings.missing));
    return { dims: [columns.length], columns, pixels: null, synthetic };
  }
  if (synthetic && settings.case === 'cholesterol')
    return { dims: [cholesterolInputs.length], columns: cholesterolInputs, pixels: null, synthetic };
  const { channels, height, width, pixels } = settings.image;
  return { dims: [channels, height, width], columns: [], pixels: pixels ?? null, synthetic };
}

/** The network's columns that come from one column of a table: its value or its categories, then its indicator if it has one. */
export function inputColumns(input: TableInput, missing: 'error' | 'drop' | 'mean'): InputColumn[] {
  const source = input.column;
  const columns: InputColumn[] = [];
  if (input.kind === 'number') {
    columns.push({ name: source, kind: 'number', unit: input.unit ?? '1', source });
  } else {
    const categories = input.categories ?? [];
    for (const category of categories.length === 2 ? categories.slice(1) : categories)
      columns.push({ name: `${source}=${category}`, kind: 'category', unit: '1', source });
  }
  if (missing === 'mean') columns.push({ name: `${source} missing`, kind: 'missing', unit: '1', source });
  return columns;
}
