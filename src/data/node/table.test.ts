import { DuckDBInstance } from '@duckdb/node-api';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataError } from '../../base/index.ts';
import { deal } from '../deal.ts';
import type { Listing } from '../listing.ts';
import { poolStandardisation } from '../pooling.ts';
import { parseDataSettings, type DataSettings } from '../settings.ts';
import { listRecords, openSiteData, openUnlabelled } from './index.ts';
import { TableSource } from './table-source.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-table-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

function settingsOf(changes: object = {}): DataSettings {
  return parseDataSettings({
    kind: 'table',
    columns: { id: 'id', group: 'patient', split: 'split' },
    inputs: [
      { column: 'age', unit: 'years', min: 0, max: 120 },
      { column: 'sex', kind: 'category', categories: ['M', 'F'] },
    ],
    target: { column: 'ldl', unit: 'mg/dL' },
    ...changes,
  });
}

async function problemsOf(listing: Promise<unknown>): Promise<readonly string[]> {
  const error: unknown = await listing.then(
    () => new Error('nothing was wrong'),
    (cause: unknown) => cause,
  );
  if (error instanceof DataError) return error.problems;
  throw error;
}

const header = 'id,patient,split,age,sex,ldl\n';
const good = `${header}a,p1,train,50,M,100.5\nb,p1,train,51,F,120\nc,p2,val,.5e2,F,90\nd,p3,test,60,M,80\n`;
const seed = 1;

describe('a table', () => {
  it('lists its records with part, label, group and id, and nothing else of them', async () => {
    const listing = await listRecords(settingsOf(), await file('good.csv', good), { seed });
    expect(listing).toEqual({
      records: [
        { part: 'train', label: 100.5, group: 'p1', id: 'a', row: 0 },
        { part: 'train', label: 120, group: 'p1', id: 'b', row: 1 },
        { part: 'val', label: 90, group: 'p2', id: 'c', row: 2 },
        { part: 'test', label: 80, group: 'p3', id: 'd', row: 3 },
      ],
      classes: null,
      synthetic: false,
      skipped: [],
      warnings: [],
    } satisfies Listing);
  });

  it('names every bad value at once, with file and line', async () => {
    const path = await file(
      'bad.csv',
      [
        'id,patient,split,age,sex,ldl',
        'a,p1,train,NaN,M,100',
        'b,p1,train,fifty,x,1e400',
        '"c\nc",p2,somewhere,200,M,90',
        'd,,val,,M,',
        'a,p3,test,50,M,80',
        '',
        'e,p4,test,50,M',
        'f,p5,test,50,M,80,9',
      ].join('\n'),
    );
    expect(await problemsOf(listRecords(settingsOf(), path, { seed }))).toEqual([
      `${path}, line 2: age is "NaN", but a number was expected`,
      `${path}, line 3: ldl is "1e400", but a number was expected`,
      `${path}, line 3: age is "fifty", but a number was expected`,
      `${path}, line 3: sex is "x", which is none of M, F`,
      `${path}, line 4: age is 200, but at most 120 was expected`,
      `${path}, line 4: the part is "somewhere", which is none of train, training, val, valid, validation, test`,
      `${path}, line 6: patient is missing`,
      `${path}, line 6: the target ldl is missing`,
      `${path}, line 6: age is missing`,
      `${path}, line 9: has 5 fields, but the header has 6`,
      `${path}, line 10: has 7 fields, but the header has 6`,
    ]);
  });

  it('finds ids that stand twice, unknown parts and groups in two parts', async () => {
    const path = await file(
      'twice.csv',
      `${header}a,p1,train,50,M,1\na,p2,train,50,M,1\nc,p1,val,50,M,1\nd,p3,later,50,M,1\n`,
    );
    expect(await problemsOf(listRecords(settingsOf(), path, { seed }))).toEqual([
      `${path}, line 3: "a" was already in ${path}, line 2`,
      `${path}, line 4: group "p1" is in val, but in train in ${path}, line 2`,
      expect.stringContaining(`${path}, line 5: the part is "later", which is none of train, training, val`),
    ]);
  });

  it('finds all problems of a row, and tells them in the order of the lines', async () => {
    const path = await file(
      'several.csv',
      `${header}a,p1,train,50,M,1\nb,p2\na,p1,later,old,X,1\nc,p1\nd,p1,train,old,M,1\n`,
    );
    expect(await problemsOf(listRecords(settingsOf(), path, { seed }))).toEqual([
      `${path}, line 3: has 2 fields, but the header has 6`,
      `${path}, line 4: age is "old", but a number was expected`,
      expect.stringContaining(`${path}, line 4: sex is "X"`),
      `${path}, line 4: "a" was already in ${path}, line 2`,
      expect.stringContaining(`${path}, line 4: the part is "later", which is none of`),
      `${path}, line 5: has 2 fields, but the header has 6`,
      `${path}, line 6: age is "old", but a number was expected`,
    ]);
  });

  it('goes on without bad records when told, says which, and not beyond the number', async () => {
    const path = await file('skip.csv', `${good}e,p5,test,old,M,1\nf,p6,test,50,M\n`);
    const listing = await listRecords(settingsOf(), path, { seed, skipBad: 2 });
    expect(listing.records.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
    expect(listing.skipped).toEqual([
      `${path}, line 6: age is "old", but a number was expected`,
      `${path}, line 7: has 5 fields, but the header has 6`,
    ]);
    expect((await problemsOf(listRecords(settingsOf(), path, { seed, skipBad: 1 }))).at(-1)).toBe(
      '2 bad records are more than the 1 that may be skipped (--skip-bad)',
    );
  });

  it('names all missing columns, and skips none of those', async () => {
    const path = await file('columns.csv', 'id,age,age\na,1,2\n');
    expect(await problemsOf(listRecords(settingsOf(), path, { seed, skipBad: 9 }))).toEqual([
      expect.stringContaining(`${path}, line 1: has no column patient (data.columns.group); it has id, age, age`),
      expect.stringContaining('has no column split (data.columns.split)'),
      expect.stringContaining('has no column ldl (data.target.column)'),
      expect.stringContaining('has 2 columns age (data.inputs[0].column)'),
      expect.stringContaining('has no column sex (data.inputs[1].column)'),
    ]);
  });

  it.each([
    ['open.csv', 'a,b\n1,"2\n3,4\n', /line 2: a quote is opened and never closed/],
    ['empty.csv', '', /is empty, but a header was expected/],
    ['none.csv', header, /holds no records/],
    ['latin1.csv', Buffer.from(`${header}a,p\xe9,train,1,M,1\n`, 'latin1').toString('latin1'), null],
  ])('%s is refused whole', async (name, text, message) => {
    const path = join(folder, name);
    await writeFile(path, text, 'latin1');
    expect((await problemsOf(listRecords(settingsOf(), path, { seed }))).join('\n')).toMatch(
      message ?? /about line 2: Invalid unicode.*\n.*has 1 records of 6 fields, but 0 can be read/,
    );
  });

  it('says what is missing when there is no file', async () => {
    const path = join(folder, 'nowhere.csv');
    expect(await problemsOf(listRecords(settingsOf(), path, { seed }))).toEqual([
      `${path}: there is no such file or folder`,
    ]);
    expect((await problemsOf(listRecords(settingsOf(), folder, { seed })))[0]).toContain('name the table in data.file');
  });

  it('reads another delimiter, a decimal comma, marks of missing values and quoted names', async () => {
    const path = await file("[a] 1's*.csv", 'id;"the age";ldl;sex\r\n1;50,5;1,0;M\r\n2;k.A.;2,0;F\r\n3;51.5;3,0;M\r\n');
    const settings = settingsOf({
      delimiter: ';',
      decimal: ',',
      missingMarks: ['k.A.'],
      missing: 'drop',
      columns: { id: 'id' },
      inputs: [{ column: 'the age', unit: 'years' }],
    });
    const listing = await listRecords(settings, path, { seed, skipBad: 1 });
    expect(listing.records.map(({ id, label }) => [id, label])).toEqual([['1', 1]]);
    expect(listing.skipped).toEqual([`${path}, line 4: the age is "51.5", but a number was expected`]);
    expect(listing.warnings).toEqual([
      'no group is declared: each record is its own, and one patient may be in two parts',
      '1 records were dropped because the age is missing (data.missing: drop)',
    ]);
  });

  it('takes parts from the group where no split is declared, and warns of one that stands unused', async () => {
    const rows = Array.from({ length: 300 }, (_, index) => `${index},p${index % 100},x,50,M,1`);
    const path = await file('hash.csv', header + rows.join('\n'));
    const settings = settingsOf({ columns: { id: 'id', group: 'patient' } });
    const listing = await listRecords(settings, path, { seed });
    expect(listing.warnings[0]).toContain('has a column split that data.columns.split does not name');
    expect(new Set(listing.records.map(({ part }) => part)).size).toBe(3);
    const partOf = new Map<string, string>();
    for (const { group, part } of listing.records) {
      expect(partOf.get(group) ?? part).toBe(part);
      partOf.set(group, part);
    }
  });

  it('reads classes as they are declared', async () => {
    const path = await file('classes.csv', 'x,y\n1,well\n2,ill\n3,dead\n');
    const settings = settingsOf({
      columns: {},
      inputs: [{ column: 'x', unit: '1' }],
      target: { column: 'y' },
      classes: ['well', 'ill'],
      positive: 'ill',
    });
    const listing = await listRecords(settings, path, { seed, skipBad: 1 });
    expect(listing.records.map(({ id, label }) => [id, label])).toEqual([
      ['row 1', 0],
      ['row 2', 1],
    ]);
    expect(listing.skipped).toEqual([`${path}, line 4: y is "dead", which is none of well, ill`]);
  });
});

describe('a Parquet table', () => {
  it('is read like a CSV table, types and missing values included', async () => {
    const path = join(folder, 'table.parquet');
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    await connection.run(
      `COPY (SELECT * FROM (VALUES ('a', 50, 'M', 0.1::FLOAT), ('b', NULL, 'F', 2.5::FLOAT), ('c', 52, 'F', 'NaN'::FLOAT))
       t(id, age, sex, ldl)) TO '${path}' (FORMAT parquet)`,
    );
    connection.closeSync();
    instance.closeSync();
    const settings = settingsOf({ columns: { id: 'id' } });
    expect(await problemsOf(listRecords(settings, path, { seed }))).toEqual([
      `${path}, row 2: age is missing`,
      `${path}, row 3: ldl is "nan", but a number was expected`,
    ]);
    const listing = await listRecords(settings, path, { seed, skipBad: 2 });
    expect(listing.records).toMatchObject([{ id: 'a', label: 0.1, row: 0 }]);
    const [manifest] = deal(listing, [1]);
    const data = await openSiteData(settings, path, manifest!);
    data.pooling.setStandardisation({ mean: [0, 0], sd: [1, 1] });
    const part = listing.records[0]!.part;
    expect([...(await data.parts[part].load([0])).data]).toEqual([50, 0]);
  });
});

describe('a site’s rows of a table', () => {
  const settings = settingsOf({ missing: 'mean', columns: { id: 'id', split: 'split' } });
  const rows = Array.from({ length: 40 }, (_, index) => {
    const split = index % 4 === 3 ? 'test' : 'train';
    return `r${index},p,${split},${index % 5 === 4 ? '' : 40 + index},${index % 2 === 0 ? 'M' : 'F'},${100 + index}`;
  });

  it('pool to the standardisation of the whole table, and load standardised in the asked order', async () => {
    const path = await file('site.csv', header + rows.join('\n'));
    const sites = await Promise.all(
      deal(await listRecords(settings, path, { seed }), [3, 1]).map((manifest) =>
        openSiteData(settings, path, manifest),
      ),
    );
    const pool = poolStandardisation(sites.map(({ pooling }) => pooling.sums()));
    const train = rows.map((row) => row.split(',')).filter((cells) => cells[2] === 'train');
    const ages = train.filter((cells) => cells[3] !== '').map((cells) => Number(cells[3]));
    const mean = ages.reduce((sum, age) => sum + age, 0) / ages.length;
    const sd = Math.sqrt(ages.reduce((sum, age) => sum + (age - mean) ** 2, 0) / ages.length);
    // Columns: age, age missing, sex=F, sex missing; only the number is standardised.
    expect(pool.inputs.mean[0]).toBeCloseTo(mean, 9);
    expect(pool.inputs.sd[0]).toBeCloseTo(sd, 9);
    expect(pool.inputs.mean.slice(1)).toEqual([0, 0, 0]);
    expect(pool.inputs.sd.slice(1)).toEqual([1, 1, 1]);
    expect(pool.constant).toEqual([]);
    expect(pool.target.mean[0]).toBeCloseTo(train.reduce((sum, cells) => sum + Number(cells[5]), 0) / train.length, 9);

    const site = sites[0]!;
    await expect(site.parts.train.load([0])).rejects.toThrow(/after its pooled standardisation/);
    site.pooling.setStandardisation(pool.inputs);
    const { ids, labels } = site.parts.train;
    const order = [ids.length - 1, 0, ids.findIndex((id) => Number(id.slice(1)) % 5 === 4)];
    const { data, dims } = await site.parts.train.load(order);
    expect(dims).toEqual([3, 4]);
    order.forEach((row, at) => {
      const number = Number(ids[row]!.slice(1));
      const isMissing = number % 5 === 4;
      expect(labels[row]).toBe(100 + number);
      const expected = [isMissing ? 0 : (40 + number - mean) / sd, isMissing ? 1 : 0, number % 2, 0];
      expected.forEach((value, column) => expect(data[4 * at + column]).toBeCloseTo(value, 5));
    });
    expect(site.pooling.classCounts().train).toEqual([ids.length]);
  });

  it('are all that comes out of the file', async () => {
    const path = await file('only.csv', header + rows.join('\n'));
    const source = await TableSource.open(path, ',');
    const read: number[] = [];
    for await (const batch of source.read(['id'], [3, 17])) read.push(...batch.map(({ row }) => row));
    expect(read).toEqual([3, 17]);
    source.close();
  });

  it('have the same number and line whichever columns are read, ragged records or not', async () => {
    const path = await file('ragged.csv', 'a,b,c\n1\n2,2\n3,3,3\n4,4,4,4\n"5\n",5,5\n6,6,6\n');
    const source = await TableSource.open(path, ',');
    for (const columns of [['a'], ['b'], ['c'], ['c', 'a']]) {
      const places: string[] = [];
      for await (const batch of source.read(columns))
        places.push(...batch.map(({ row, cells }) => `${Number(cells[0])} in ${source.place(row)}`));
      expect(places).toEqual([`3 in ${path}, line 4`, `5 in ${path}, line 6`, `6 in ${path}, line 8`]);
    }
    source.close();
  });

  it('are refused when the table was changed after it was dealt', async () => {
    const path = await file('changed.csv', header + rows.join('\n'));
    const [manifest] = deal(await listRecords(settings, path, { seed }), [1]);
    await file('changed.csv', header + [...rows.slice(1, 38), 'r38,p,train,9,M,-7'].join('\n'));
    const problems = await problemsOf(openSiteData(settings, path, manifest!));
    expect(problems[0]).toBe(`${path}, line 2: is not the record that was dealt: the table was changed`);
    expect(problems.at(-1)).toBe(`${path}: 2 of the records that were dealt are gone`);
  });
});

describe('a table to predict', () => {
  it('needs no labels, keeps its order, and takes the mean where it may', async () => {
    const path = await file('predict.csv', 'sex,id,age\nF,z,70\nM,y,\nF,x,40\n');
    const data = await openUnlabelled(settingsOf({ missing: 'mean' }), path);
    data.setStandardisation({ mean: [50, 0, 0, 0], sd: [10, 1, 1, 1] });
    expect(data.records.ids).toEqual(['z', 'y', 'x']);
    expect(data.records.labels.length).toBe(0);
    expect([...(await data.records.load([0, 1, 2])).data]).toEqual([2, 0, 1, 0, 0, 1, 0, 0, -1, 0, 1, 0]);
    await data.close();
  });

  it('may be without its id column, and bad rows may be skipped', async () => {
    const path = await file('predict-unnamed.csv', 'sex,age\nF,70\nM,old\nM,50\nF,40\n');
    const data = await openUnlabelled(settingsOf(), path, { skipBad: 1 });
    expect(data.records.ids).toEqual(['row 1', 'row 3', 'row 4']);
    expect(data.remarks).toEqual([
      `${path}, line 3: age is "old", but a number was expected`,
      `${path} has no column id (data.columns.id): rows are called by their numbers`,
    ]);
    data.setStandardisation({ mean: [0, 0], sd: [1, 1] });
    expect([...(await data.records.load([0, 1, 2])).data].filter((_, index) => index % 2 === 0)).toEqual([70, 50, 40]);
    expect(await problemsOf(openUnlabelled(settingsOf(), path))).toHaveLength(1);
  });

  it('drops no record: a missing value is a problem', async () => {
    const path = await file('predict-drop.csv', 'sex,id,age\nF,z,70\nM,y,\n');
    expect(await problemsOf(openUnlabelled(settingsOf({ missing: 'drop' }), path))).toEqual([
      `${path}, line 3: age is missing`,
    ]);
  });
});

const lipids = join(process.env['SEPTUM_SHARED'] ?? '../shared', 'data', 'lipids');

describe.skipIf(!existsSync(lipids))(`lipids (skipped where ${lipids} is not there)`, () => {
  it('has the parts of its README in every table, missing cells and all', async () => {
    const number = (column: string) => ({ column, unit: '1' });
    const tables = [
      [
        'direct-ldl.csv',
        'case_id',
        'ldl_direct_mgdl',
        ['age_years', 'tc_mgdl', 'hdl_mgdl', 'tg_mgdl'],
        [1411, 274, 156],
      ],
      [
        'nhanes-1999-2016.csv',
        'participant_id',
        'ldl_friedewald_mgdl',
        ['age_years', 'bmi', 'hba1c_pct'],
        [14155, 3093, 1599],
      ],
      ['diabetes-442.csv', 'case_id', 'progression_1y', ['bmi', 'ltg'], [299, 77, 66]],
    ] as const;
    for (const [name, id, target, inputs, counts] of tables) {
      const settings = settingsOf({
        file: name,
        columns: { id, split: 'split' },
        inputs: inputs.map(number),
        target: number(target),
        missing: 'mean',
      });
      const [manifest] = deal(await listRecords(settings, lipids, { seed }), [1]);
      const { train, val, test } = manifest!.parts;
      expect([train, val, test].map(({ ids }) => ids.length)).toEqual(counts);
      const data = await openSiteData(settings, lipids, manifest!);
      const pool = poolStandardisation([data.pooling.sums()]);
      data.pooling.setStandardisation(pool.inputs);
      const { data: values, dims } = await data.parts.train.load(Array.from(train.ids.keys()));
      expect(dims).toEqual([counts[0], 2 * inputs.length]);
      // Standardised by its own sums, a column has mean 0; its missing values lie on it.
      inputs.forEach((_, input) => {
        let sum = 0;
        for (let row = 0; row < counts[0]; row++) sum += values[row * 2 * inputs.length + 2 * input]!;
        expect(Math.abs(sum / counts[0])).toBeLessThan(1e-5);
      });
    }
  });
});
