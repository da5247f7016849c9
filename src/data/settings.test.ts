import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError } from '../base/index.ts';
import { describeInputs, targetOf } from './inputs.ts';
import { dataSettings, parseDataSettings } from './settings.ts';

const table = {
  kind: 'table',
  inputs: [
    { column: 'age', unit: 'years' },
    { column: 'sex', kind: 'category', categories: ['M', 'F'] },
    { column: 'site', kind: 'category', categories: ['a', 'b', 'c'], missing: 'mean' },
    { column: 'tg', unit: 'mg/dL', missing: 'mean' },
  ],
  target: { column: 'ldl', unit: 'mg/dL' },
};

function problemsOf(value: unknown): readonly string[] {
  try {
    parseDataSettings(value);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the data section', () => {
  it('needs only what cannot be guessed', () => {
    const settings = parseDataSettings({ kind: 'images', classes: ['no', 'yes'], positive: 'yes' });
    expect(settings).toMatchObject({
      layout: 'labels',
      labels: 'labels.csv',
      columns: { path: 'path', label: 'label' },
      fractions: { train: 0.7, val: 0.15, test: 0.15 },
      image: { width: 64, height: 64, channels: 1, fit: 'stretch' },
      augment: { flipHorizontal: false, shift: 0, fill: 'edge' },
      minCount: 5,
    });
  });

  it('names every problem at once, each with its place', () => {
    expect(
      problemsOf({
        kind: 'images',
        classes: ['no', 'yes'],
        positive: 'maybe',
        labels: '../labels.csv',
        fractions: { train: 0.9, val: 0.2, test: 0.1 },
        image: { width: 4, channels: 1, pixels: { mean: [0, 0, 0], sd: [1] } },
        augment: { shift: 0.9, flipX: true },
      }),
    ).toEqual(
      expect.arrayContaining([
        expect.stringContaining('data.labels: must be a path inside the data folder'),
        expect.stringContaining('data.fractions: must add up to 1'),
        expect.stringContaining('data.positive: is maybe, which is none'),
        expect.stringContaining('data.image.width'),
        expect.stringContaining('data.augment.shift'),
        expect.stringMatching(/data\.augment: .*flipX/),
      ]),
    );
  });

  it.each([
    [{ classes: ['a', 'b'] }, 'data.positive: is missing'],
    [{ classes: ['a', 'b'], positive: 'c' }, 'data.positive: is c, which is none of the classes a, b'],
    [{ classes: ['a', 'a'], positive: 'a' }, 'data.classes: names a class twice'],
    [{ classes: ['a', 'b'], positive: 'a', layout: 'class-folders', columns: { group: 'g' } }, 'use groupPattern'],
    [{ classes: ['a', 'b'], positive: 'a', groupPattern: 'x/*' }, 'must contain {group} exactly once'],
    [
      { classes: ['a', 'b'], positive: 'a', image: { channels: 1, pixels: { mean: [0, 0, 0], sd: [1] } } },
      'data.image.pixels.mean: has 3 numbers, but the image has 1 channels',
    ],
  ])('images with %j: %s', (rest, problem) => {
    expect(problemsOf({ kind: 'images', ...rest }).join('\n')).toContain(problem);
  });

  it.each([
    [{ target: { column: 'ldl' } }, 'data.target.unit: is missing'],
    [{ target: { column: 'ldl', unit: 'mg/dL' }, classes: ['a', 'b'], positive: 'a' }, 'is for numbers'],
    [{ inputs: [{ column: 'x' }] }, 'data.inputs[0].unit: is missing for x'],
    [{ inputs: [{ column: 'x', kind: 'category' }] }, 'data.inputs[0].categories: is missing'],
    [{ inputs: [{ column: 'x', unit: '1', min: 2, max: 1 }] }, 'data.inputs[0].min: 2 is above max 1'],
    [{ inputs: [{ column: 'ldl', unit: '1' }] }, 'data.inputs[0].column: ldl is also the target'],
    [{ columns: { id: 'age' } }, 'data.inputs[0].column: age is also columns.id'],
    [{ delimiter: ',', decimal: ',' }, 'data.decimal: is the same character as delimiter'],
  ])('a table with %j: %s', (rest, problem) => {
    expect(problemsOf({ ...table, ...rest }).join('\n')).toContain(problem);
  });

  it('becomes a JSON Schema', () => {
    const schema = JSON.stringify(z.toJSONSchema(dataSettings, { io: 'input' }));
    for (const key of ['flipHorizontal', 'groupPattern', 'missingMarks', 'shuffleLabels'])
      expect(schema).toContain(key);
  });
});

describe('inputs', () => {
  it('of a table: numbers, a 0/1 column for two categories, one each for more, an indicator where the mean stands in', () => {
    const { dims, columns } = describeInputs(parseDataSettings(table));
    expect(columns.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      'number age',
      'category sex=F',
      'category site=a',
      'category site=b',
      'category site=c',
      'missing site missing',
      'number tg',
      'missing tg missing',
    ]);
    expect(dims).toEqual([8]);
    expect(columns[6]?.unit).toBe('mg/dL');
  });

  it('of images: channels, height, width', () => {
    const settings = parseDataSettings({
      kind: 'images',
      classes: ['a', 'b', 'c'],
      image: { width: 96, height: 64, channels: 3 },
    });
    expect(describeInputs(settings).dims).toEqual([3, 64, 96]);
    expect(targetOf(settings)).toMatchObject({ kind: 'classification', classes: ['a', 'b', 'c'] });
  });

  it('of a synthetic case say that they are synthetic', () => {
    const settings = parseDataSettings({ kind: 'synthetic', case: 'cholesterol' });
    expect(describeInputs(settings)).toMatchObject({ dims: [7], synthetic: true });
    expect(targetOf(settings)).toEqual({ kind: 'regression', column: 'ldl', unit: 'mg/dL' });
  });
});
