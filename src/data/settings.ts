// The `data:` section of a study file: where a study's records come from and how they become inputs. Everything that must be the same
// at every site (classes, units, categories, image size, parts) is declared here and never inferred from one site's records.

import { z } from 'zod';
import { ConfigError } from '../base/index.ts';
import { reading } from './field-checks.ts';
import { augmentSettings, imageSettings } from './image-settings.ts';
import { leadsOut } from './inside-folder.ts';

const name = z.string().min(1).max(200);
const fileName = z
  .string()
  .min(1)
  .max(500)
  .refine((text) => !leadsOut(text), {
    error: 'must be a path inside the data folder, without `..`',
  });
const finite = z.number().min(-1e12).max(1e12);
const fraction = z.number().min(0).max(1);

const classes = z
  .array(name)
  .min(2)
  .max(1000)
  .refine((list) => new Set(list).size === list.length, { error: 'names a class twice' })
  .describe('The class labels, in the order of the network’s outputs.');

const fractions = z
  .strictObject({ train: fraction, val: fraction, test: fraction })
  .refine((parts) => Math.abs(parts.train + parts.val + parts.test - 1) < 1e-9, { error: 'must add up to 1' })
  .prefault({ train: 0.7, val: 0.15, test: 0.15 })
  .describe('Share of the groups in each part, where no split column is declared.');

const partNames = z.array(name).min(1).max(20);
const splitNames = z
  .strictObject({
    train: partNames.default(['train', 'training']),
    val: partNames.default(['val', 'valid', 'validation']),
    test: partNames.default(['test']),
  })
  .prefault({})
  .describe('What the split column, or the folders, call each part.');

const minCount = z.int().min(1).max(1_000_000).default(5).describe('A site with fewer training records is refused.');

function checkPositive(
  value: { classes?: string[] | undefined; positive?: string | undefined },
  context: z.RefinementCtx,
): void {
  const { classes: list, positive } = value;
  const problem = (message: string) => context.addIssue({ code: 'custom', path: ['positive'], message });
  if (list === undefined) {
    if (positive !== undefined) problem('is given, but `classes` is not');
  } else if (positive === undefined) {
    if (list.length === 2) problem(`is missing: name the one of ${list.join(', ')} whose probability is reported`);
  } else if (!list.includes(positive)) {
    problem(`is ${positive}, which is none of the classes ${list.join(', ')}`);
  }
}

/** A folder of PNG, JPEG, BMP or TIFF files. */
export const imageFolderSettings = z
  .strictObject({
    kind: z.literal('images'),
    layout: z
      .enum(['labels', 'class-folders', 'part-class-folders'])
      .default('labels')
      .describe('A labels file; or folders CLASS/FILE; or folders PART/CLASS/FILE.'),
    labels: fileName.default('labels.csv').describe('The labels file, with `layout: labels`.'),
    delimiter: z.enum([',', ';', '\t', '|']).default(','),
    columns: z
      .strictObject({
        path: name.default('path'),
        label: name.default('label'),
        group: name.optional().describe('Patient or case.'),
        split: name.optional(),
      })
      .prefault({})
      .describe('The labels file’s columns.'),
    groupPattern: z
      .string()
      .max(300)
      .refine((text) => text.split('{group}').length === 2, { error: 'must contain {group} exactly once' })
      .optional()
      .describe('Where the path names the patient or case: `*` is any text, {group} any text without a slash.'),
    splitNames,
    fractions,
    classes,
    positive: name.optional(),
    image: imageSettings.prefault({}),
    augment: augmentSettings.prefault({}),
    minCount,
  })
  .superRefine(checkPositive, reading('classes', 'positive'))
  .superRefine(
    (value, context) => {
      const problem = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
      if (value.layout !== 'labels' && value.columns.group !== undefined)
        problem(['columns', 'group'], `is a column of a labels file, but layout is ${value.layout}: use groupPattern`);
      if (value.layout !== 'labels' && value.columns.split !== undefined)
        problem(['columns', 'split'], `is a column of a labels file, but layout is ${value.layout}`);
      if (value.columns.group !== undefined && value.groupPattern !== undefined)
        problem(['groupPattern'], 'and columns.group both say what a group is: give one');
    },
    reading('layout', 'columns', 'groupPattern'),
  );
export type ImageFolderSettings = z.output<typeof imageFolderSettings>;

const missing = z
  .enum(['error', 'drop', 'mean'])
  .describe('A missing value is a problem; or drops its record; or becomes the mean, with an indicator column.');

/** One declared input column of a table. */
export const tableInput = z
  .strictObject({
    column: name,
    kind: z.enum(['number', 'category']).default('number'),
    unit: z.string().min(1).max(40).optional().describe('Of a number; `1` for a pure number.'),
    min: finite.optional().describe('A smaller number is a problem.'),
    max: finite.optional().describe('A larger number is a problem.'),
    categories: z
      .array(name)
      .min(2)
      .max(200)
      .refine((list) => new Set(list).size === list.length, { error: 'names a category twice' })
      .optional()
      .describe('Two become one column of 0 and 1 (1: the second), more become one column each.'),
    missing: missing.optional().describe('Overrides the table’s.'),
  })
  .superRefine(
    (input, context) => {
      const problem = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
      if (input.kind === 'category') {
        if (input.categories === undefined) problem('categories', `is missing for the category ${input.column}`);
        for (const key of ['unit', 'min', 'max'] as const)
          if (input[key] !== undefined) problem(key, `is for numbers, but ${input.column} is a category`);
      } else {
        if (input.unit === undefined) problem('unit', `is missing for ${input.column}: write 1 for a pure number`);
        if (input.categories !== undefined) problem('categories', `are given, but ${input.column} is a number`);
        if (input.min !== undefined && input.max !== undefined && input.min > input.max)
          problem('min', `${input.min} is above max ${input.max}`);
      }
    },
    reading('column', 'kind', 'unit', 'min', 'max', 'categories'),
  );
export type TableInput = z.output<typeof tableInput>;

/** A CSV or Parquet file. */
export const tableSettings = z
  .strictObject({
    kind: z.literal('table'),
    file: fileName.optional().describe('Inside --data; not needed when --data is the file itself.'),
    delimiter: z.enum([',', ';', '\t', '|']).default(','),
    decimal: z.enum(['.', ',']).default('.').describe('The decimal mark of a CSV file.'),
    columns: z
      .strictObject({
        id: name.optional().describe('Names a record to its owner; unique. Default: the row number.'),
        group: name.optional().describe('Patient or case.'),
        split: name.optional(),
      })
      .prefault({}),
    inputs: z.array(tableInput).min(1).max(2000),
    target: z
      .strictObject({
        column: name,
        unit: z.string().min(1).max(40).optional(),
        min: finite.optional(),
        max: finite.optional(),
      })
      .describe('A number with a unit, or, with `classes`, a class.'),
    classes: classes.optional(),
    positive: name.optional(),
    missing: missing.default('error'),
    missingMarks: z
      .array(z.string().min(1).max(40))
      .max(20)
      .default([])
      .describe('Cell texts that stand for a missing value, besides an empty cell.'),
    splitNames,
    fractions,
    minCount,
  })
  .superRefine(checkPositive, reading('classes', 'positive'))
  .superRefine(
    (value, context) => {
      const problem = (path: (string | number)[], message: string) =>
        context.addIssue({ code: 'custom', path, message });
      if (value.classes === undefined) {
        if (value.target.unit === undefined)
          problem(['target', 'unit'], 'is missing: a regression target has a unit (1 for a pure number)');
      } else {
        for (const key of ['unit', 'min', 'max'] as const)
          if (value.target[key] !== undefined) problem(['target', key], 'is for numbers, but `classes` is given');
      }
    },
    reading('classes', 'target'),
  )
  .superRefine(
    (value, context) => {
      const problem = (path: (string | number)[], message: string) =>
        context.addIssue({ code: 'custom', path, message });
      const seen = new Map<string, string>([[value.target.column, 'the target']]);
      for (const [role, column] of Object.entries(value.columns)) {
        if (column === undefined || role === 'group') continue;
        if (seen.has(column)) problem(['columns', role], `is ${column}, which is also ${seen.get(column)}`);
        seen.set(column, `columns.${role}`);
      }
      value.inputs.forEach((input, index) => {
        const other = seen.get(input.column);
        if (other !== undefined) problem(['inputs', index, 'column'], `${input.column} is also ${other}`);
        seen.set(input.column, `inputs[${index}]`);
      });
    },
    reading('target', 'columns', 'inputs'),
  )
  .refine(({ delimiter, decimal }) => delimiter !== decimal, {
    path: ['decimal'],
    error: 'is the same character as delimiter',
    ...reading('delimiter', 'decimal'),
  });
export type TableSettings = z.output<typeof tableSettings>;

export const syntheticCases = ['cholesterol', 'covid-ct', 'bone-xray'] as const;
export type SyntheticCase = (typeof syntheticCases)[number];

/** Records that are computed, not read: no real patient is in them. */
export const syntheticSettings = z.strictObject({
  kind: z.literal('synthetic'),
  case: z.enum(syntheticCases),
  records: z.int().min(30).max(1_000_000).default(3000),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(1)
    .describe('Of the records; the study has its own.'),
  shuffleLabels: z.boolean().default(false).describe('Labels of other records, so that there is nothing to learn.'),
  image: imageSettings.prefault({}).describe('Of the image cases.'),
  augment: augmentSettings.prefault({}).describe('Of the image cases.'),
  fractions,
  minCount,
});
export type SyntheticSettings = z.output<typeof syntheticSettings>;

/** The `data:` section. */
export const dataSettings = z.discriminatedUnion('kind', [imageFolderSettings, tableSettings, syntheticSettings]);
/** The section as it is used: every default filled in. */
export type DataSettings = z.output<typeof dataSettings>;
/** The section as its author may write it. */
export type DataSettingsInput = z.input<typeof dataSettings>;

/** Checks a `data:` section and fills in its defaults. Throws ConfigError with every problem, each with its place below `where`. */
export function parseDataSettings(value: unknown, where = 'data'): DataSettings {
  const parsed = dataSettings.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => {
    const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
    return `${where}${place}: ${message}`;
  });
  throw new ConfigError('bad-study', problems, { cause: parsed.error });
}
