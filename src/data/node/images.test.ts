import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataError } from '../../base/index.ts';
import { deal, manifestCounts } from '../deal.ts';
import { parts } from '../records.ts';
import { parseDataSettings, type DataSettings } from '../settings.ts';
import { listRecords, openSiteData, openUnlabelled } from './index.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-images-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** An 8 x 8 image of one value. */
async function image(path: string, value: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const pixels = new Uint8Array(64).fill(value);
  await writeFile(
    path,
    await sharp(pixels, { raw: { width: 8, height: 8, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer(),
  );
}

function settingsOf(changes: object = {}): DataSettings {
  return parseDataSettings({
    kind: 'images',
    columns: { group: 'case', split: 'split' },
    classes: ['no', 'yes'],
    positive: 'yes',
    image: { width: 8, height: 8 },
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

const seed = 1;

describe('a folder with a labels file', () => {
  it('names every problem at once, with file and line', async () => {
    const here = join(folder, 'problems');
    await image(join(here, 'a.png'), 1);
    await mkdir(join(here, 'folder.png'));
    const labels = join(here, 'labels.csv');
    await writeFile(
      labels,
      [
        'path,label,case,split',
        'a.png,no,1,train',
        'b.png,yes,2,train',
        'a.png,yes,3,train',
        'a.txt,maybe,,train',
        '../a.png,no,4,train',
        '/etc/a.png,no,4,train',
        'folder.png,no,5,',
        ',no,5,val',
      ].join('\n'),
    );
    expect(await problemsOf(listRecords(settingsOf(), here, { seed }))).toEqual([
      `${labels}, line 3: there is no file ${join(here, 'b.png')}`,
      `${labels}, line 4: "a.png" was already in ${labels}, line 2`,
      `${labels}, line 5: "a.txt" is not named as a PNG, JPEG, BMP or TIFF file`,
      `${labels}, line 5: label is "maybe", which is none of no, yes`,
      `${labels}, line 5: case is missing`,
      `${labels}, line 6: "../a.png" leads out of the data folder`,
      `${labels}, line 7: "/etc/a.png" leads out of the data folder`,
      `${labels}, line 8: there is no file ${join(here, 'folder.png')}`,
      `${labels}, line 8: split is missing`,
      `${labels}, line 9: the path is missing`,
    ]);
    const listing = await listRecords(settingsOf(), here, { seed, skipBad: 7 });
    expect(listing.records).toEqual([{ part: 'train', label: 0, group: '1', id: 'a.png', row: 0 }]);
    expect(listing.skipped.length).toBe(10);
  });

  it('finds broken files, and those that break later when they are read ahead or loaded', async () => {
    const here = join(folder, 'broken');
    await image(join(here, 'a.png'), 1);
    await writeFile(join(here, 'b.png'), 'no image');
    await writeFile(join(here, 'labels.csv'), 'path,label,case,split\na.png,no,1,train\nb.png,yes,2,train\n');
    const message = `${join(here, 'b.png')}: cannot be decoded: Input buffer contains unsupported image format`;
    const line = `${join(here, 'labels.csv')}, line 3: ${message}`;
    expect(await problemsOf(listRecords(settingsOf(), here, { seed }))).toEqual([line]);
    const told: number[] = [];
    const onChecked = (images: number): number => told.push(images);
    const checked = await listRecords(settingsOf(), here, { seed, skipBad: 1, onChecked });
    expect([checked.records.length, checked.skipped]).toEqual([1, [line]]);
    expect(told).toEqual([1, 2]);
    await image(join(here, 'b.png'), 2);
    const [manifest] = deal(await listRecords(settingsOf(), here, { seed }), [1]);
    await writeFile(join(here, 'b.png'), 'no image');
    const { parts: opened, readAhead } = await openSiteData(settingsOf(), here, manifest!);
    expect(await problemsOf(readAhead!(() => true))).toEqual([message]);
    expect((await opened.train.load([0])).data[0]).toBe(Math.fround(1 / 255));
    expect(await problemsOf(opened.train.load([0, 1]))).toEqual([message]);
    await rm(join(here, 'a.png'));
    const again = await openSiteData(settingsOf(), here, manifest!);
    expect((await problemsOf(again.parts.train.load([0])))[0]).toContain(`${join(here, 'a.png')}: cannot be read`);
  });

  it('reads an image that is not kept again, and refuses it when it is another file than before', async () => {
    const here = join(folder, 'replaced');
    await image(join(here, 'a.png'), 1);
    await image(join(here, 'b.png'), 2);
    await writeFile(join(here, 'labels.csv'), 'path,label,case,split\na.png,no,1,train\nb.png,yes,2,train\n');
    const [manifest] = deal(await listRecords(settingsOf(), here, { seed }), [1]);
    const { parts: opened } = await openSiteData(settingsOf(), here, manifest!, { cacheBytesMax: 64 });
    await opened.train.load([0]); // There is room to keep this one.
    const first = await opened.train.load([0, 1]);
    expect(await opened.train.load([0, 1])).toEqual(first);
    await image(join(here, 'b.png'), 3);
    // What is kept needs no file.
    await image(join(here, 'a.png'), 3);
    expect((await opened.train.load([0])).data[0]).toBe(Math.fround(1 / 255));
    expect(await problemsOf(opened.train.load([0, 1]))).toEqual([
      `${join(here, 'b.png')}: was changed since it was first read; put back the file that was there, and start again`,
    ]);
    await image(join(here, 'b.png'), 2);
    expect(await opened.train.load([0, 1])).toEqual(first);
  });

  it('finds all problems of a row, the broken file among them, and holds none against another row', async () => {
    const here = join(folder, 'several');
    await image(join(here, 'a.png'), 1);
    await mkdir(here, { recursive: true });
    await writeFile(join(here, 'b.png'), 'no image');
    const labels = join(here, 'labels.csv');
    const good = Array.from({ length: 30 }, (_, index) => `good-${index}.png`);
    for (const name of good) await image(join(here, name), 1);
    const rows = [
      'a.png,no,1,train',
      'b.png,maybe,2,later',
      'a.png,perhaps,3,train',
      'short',
      ...good.map((name) => `${name},no,4,val`),
    ];
    await writeFile(labels, ['path,label,case,split', ...rows].join('\n'));
    const problems = [
      `${labels}, line 3: label is "maybe", which is none of no, yes`,
      expect.stringContaining(`${labels}, line 3: the part is "later", which is none of`),
      expect.stringContaining(`${labels}, line 3: ${join(here, 'b.png')}: cannot be decoded`),
      `${labels}, line 4: label is "perhaps", which is none of no, yes`,
      `${labels}, line 4: "a.png" was already in ${labels}, line 2`,
      `${labels}, line 5: has 1 fields, but the header has 4`,
    ];
    expect(await problemsOf(listRecords(settingsOf(), here, { seed }))).toEqual(problems);
    const listing = await listRecords(settingsOf(), here, { seed, skipBad: 3 });
    expect(listing.records.map(({ id }) => id)).toEqual(['a.png', ...good]);
    expect(listing.skipped).toEqual(problems);
  });

  it('to predict names all broken files at once, and goes on without them when told', async () => {
    const here = join(folder, 'predict-broken');
    for (const name of ['a.png', 'd.png']) await image(join(here, name), 1);
    for (const name of ['b.png', 'c.png']) await writeFile(join(here, name), 'no image');
    const broken = ['b.png', 'c.png'].map((name) => `${join(here, name)}: cannot be decoded: Input buffer contains`);
    const told = broken.map((words) => expect.stringContaining(words));
    expect(await problemsOf(openUnlabelled(settingsOf(), here))).toEqual(told);
    const data = await openUnlabelled(settingsOf(), here, { skipBad: 2 });
    expect([data.records.ids, data.remarks]).toEqual([['a.png', 'd.png'], told]);
    await writeFile(join(here, 'labels.csv'), 'path\nd.png\nc.png\na.png\ngone.png\n');
    expect(await problemsOf(openUnlabelled(settingsOf(), here, { skipBad: 1 }))).toEqual([
      expect.stringContaining(`labels.csv, line 3: ${broken[1]}`),
      expect.stringContaining('labels.csv, line 5: there is no file'),
      expect.stringContaining('2 bad records are more than the 1'),
    ]);
    const listed = await openUnlabelled(settingsOf(), here, { skipBad: 2 });
    expect(listed.records.ids).toEqual(['d.png', 'a.png']);
    expect((await listed.records.load([0, 1])).dims[0]).toBe(2);
  });

  it('is checked no further once the signal is aborted', async () => {
    const here = join(folder, 'stopped');
    const names = Array.from({ length: 40 }, (_, index) => `${index}.png`);
    for (const [index, name] of names.entries()) await image(join(here, name), index);
    const lines = names.map((name) => `${name},no,1,train`);
    await writeFile(join(here, 'labels.csv'), ['path,label,case,split', ...lines].join('\n'));
    const stop = new AbortController();
    let checked = 0;
    const onChecked = (images: number): void => {
      checked = images;
      if (images === 5) stop.abort(new Error('enough'));
    };
    await expect(listRecords(settingsOf(), here, { seed, signal: stop.signal, onChecked })).rejects.toThrow('enough');
    expect(checked).toBeLessThan(15);
  });

  it('is dealt so that each site reads its own files and no other', async () => {
    const here = join(folder, 'dealt');
    const lines = ['path,label,case,split'];
    for (let index = 0; index < 60; index++) {
      await image(join(here, `i/${index}.png`), index);
      const split = index < 36 ? 'train' : index < 48 ? 'val' : 'test';
      lines.push(`i/${index}.png,${index % 2 === 0 ? 'no' : 'yes'},c${Math.floor(index / 3)},${split}`);
    }
    await writeFile(join(here, 'labels.csv'), lines.join('\n'));
    const manifests = deal(await listRecords(settingsOf(), here, { seed }), [2, 1, 1]);
    expect(manifests.map((manifest) => manifestCounts(manifest).train)).toEqual([
      [9, 9],
      [5, 4],
      [4, 5],
    ]);
    const readBy = await Promise.all(
      // A manifest reaches its site as JSON.
      manifests.map(async (dealt) => {
        const manifest = JSON.parse(JSON.stringify(dealt)) as typeof dealt;
        const read: string[] = [];
        const data = await openSiteData(settingsOf(), here, manifest, {
          readFile: (path) => {
            read.push(path);
            return readFile(path);
          },
        });
        for (const part of parts) {
          const records = data.parts[part];
          const { data: values } = await records.load(Array.from(records.ids.keys()));
          records.ids.forEach((id, row) => {
            expect(Math.round(values[64 * row]! * 255)).toBe(Number(/(\d+)\.png/.exec(id)?.[1]));
          });
        }
        expect(data.pooling.classCounts()).toEqual(manifestCounts(manifest));
        expect(data.pooling.sums().inputs.counts).toEqual([]);
        await data.close();
        expect(read.toSorted()).toEqual(
          parts.flatMap((part) => manifest.parts[part].ids.map((id) => join(here, id))).toSorted(),
        );
        return read;
      }),
    );
    expect(new Set(readBy.flat()).size).toBe(60);
  });

  it('opens no file outside the folder, whatever a manifest says', async () => {
    const here = join(folder, 'outside');
    await image(join(here, 'a.png'), 1);
    await image(join(folder, 'secret.png'), 1);
    await writeFile(join(here, 'labels.csv'), 'path,label,case,split\na.png,no,1,train\n');
    const [dealt] = deal(await listRecords(settingsOf(), here, { seed }), [1]);
    for (const path of ['../secret.png', join(folder, 'secret.png')]) {
      const manifest = JSON.parse(JSON.stringify(dealt).replace('a.png', path)) as NonNullable<typeof dealt>;
      const data = await openSiteData(settingsOf(), here, manifest);
      expect(await problemsOf(data.parts.train.load([0]))).toEqual([`${path}: leads out of the data folder`]);
    }
  });

  it('takes the group from the path where a pattern says so', async () => {
    const here = join(folder, 'pattern');
    for (const name of ['p1_a.png', 'p1_b.png', 'p2_a.png', 'odd.png']) await image(join(here, name), 1);
    await writeFile(join(here, 'labels.csv'), 'path,label\np1_a.png,no\np1_b.png,yes\np2_a.png,no\nodd.png,no\n');
    const settings = settingsOf({ columns: {}, groupPattern: '{group}_*.png' });
    const listing = await listRecords(settings, here, { seed, skipBad: 1 });
    expect(listing.records.map(({ group }) => group)).toEqual(['p1', 'p1', 'p2']);
    expect(listing.skipped[0]).toContain('"odd.png" does not fit data.groupPattern {group}_*.png');
    expect(listing.warnings).toEqual([]);
  });
});

describe('class folders', () => {
  it('give label, part and path', async () => {
    const here = join(folder, 'classes');
    await image(join(here, 'train/no/b.png'), 1);
    await image(join(here, 'train/yes/p1/a.png'), 1);
    await image(join(here, 'valid/yes/c.PNG'), 1);
    await writeFile(join(here, 'train/no/notes.txt'), 'passed over');
    await writeFile(join(here, 'train/no/.hidden.png'), 'passed over');
    await symlink(here, join(here, 'train/no/loop'));
    const listing = await listRecords(settingsOf({ layout: 'part-class-folders', columns: {} }), here, { seed });
    expect(listing.records).toEqual([
      { part: 'train', label: 0, group: 'train/no/b.png', id: 'train/no/b.png', row: 0 },
      { part: 'train', label: 1, group: 'train/yes/p1/a.png', id: 'train/yes/p1/a.png', row: 1 },
      { part: 'val', label: 1, group: 'valid/yes/c.PNG', id: 'valid/yes/c.PNG', row: 2 },
    ]);
    expect(listing.warnings).toEqual([
      'no group is declared: each record is its own, and one patient may be in two parts',
      `${here}: 1 files are no images and were passed over, such as train/no/notes.txt`,
    ]);
  });

  it('without parts take them from the group', async () => {
    const here = join(folder, 'flat');
    for (let index = 0; index < 40; index++) await image(join(here, index % 2 ? 'yes' : 'no', `${index}.png`), index);
    const listing = await listRecords(settingsOf({ layout: 'class-folders', columns: {} }), here, { seed });
    expect(new Set(listing.records.map(({ part }) => part)).size).toBe(3);
    for (const { id, label } of listing.records) expect(label).toBe(id.startsWith('yes/') ? 1 : 0);
  });

  it('name every file that is out of place', async () => {
    const here = join(folder, 'misplaced');
    await image(join(here, 'loose.png'), 1);
    await image(join(here, 'perhaps/a.png'), 1);
    expect(await problemsOf(listRecords(settingsOf({ layout: 'class-folders', columns: {} }), here, { seed }))).toEqual(
      [
        `${join(here, 'loose.png')}: is not in a class folder, but CLASS/FILE was expected`,
        `${join(here, 'perhaps/a.png')}: the class folder is "perhaps", which is none of no, yes`,
      ],
    );
  });
});

describe('images to predict', () => {
  it('come in the order of the labels file, of the paths, or alone', async () => {
    const here = join(folder, 'predict');
    for (const [index, name] of ['c.png', 'a.png', 'sub/b.png'].entries()) await image(join(here, name), 10 * index);
    const byPath = await openUnlabelled(settingsOf(), here);
    expect(byPath.records.ids).toEqual(['a.png', 'c.png', 'sub/b.png']);
    expect(byPath.records.labels.length).toBe(0);
    await writeFile(join(here, 'labels.csv'), 'path\nc.png\na.png\n');
    const byFile = await openUnlabelled(settingsOf(), here);
    expect(byFile.records.ids).toEqual(['c.png', 'a.png']);
    const { data } = await byFile.records.load([1]);
    expect(data[0]).toBe(Math.fround(10 / 255));
    const alone = await openUnlabelled(settingsOf(), join(here, 'sub/b.png'));
    expect(alone.records.ids).toEqual(['b.png']);
  });
});

const shared = join(process.env['SEPTUM_SHARED'] ?? '../shared', 'data');
const covid = join(shared, 'covid-ct');

describe.skipIf(!existsSync(covid))(`covid-ct (skipped where ${covid} is not there)`, () => {
  const settings = parseDataSettings({
    kind: 'images',
    columns: { group: 'case_id', split: 'split' },
    classes: ['non-covid', 'covid'],
    positive: 'covid',
  });

  it('is listed and dealt with the counts of its README', async () => {
    const listing = await listRecords(settings, covid, { seed });
    const [whole] = deal(listing, [1]);
    expect(manifestCounts(whole!)).toEqual({ train: [859, 876], val: [185, 188], test: [57, 128] });
    const sites = deal(listing, [7, 2, 1]).map((manifest) => manifestCounts(manifest));
    for (const part of parts)
      for (const label of [0, 1])
        expect(sites.reduce((sum, counts) => sum + counts[part][label]!, 0)).toBe(manifestCounts(whole!)[part][label]);
    sites.forEach(({ train }, site) => {
      const due = [7, 2, 1].map((share) => share / 10)[site]!;
      expect(Math.abs(train[0]! - 859 * due)).toBeLessThan(3);
      expect(Math.abs(train[1]! - 876 * due)).toBeLessThan(3);
    });
  });

  it('has originals of unequal sizes, in RGB and RGBA, that look like their small grey copies', async () => {
    const originals = await openUnlabelled(settings, join(covid, 'originals'));
    const copies = await openUnlabelled(settings, join(covid, 'images'));
    expect(originals.records.count).toBe(21);
    const { data } = await originals.records.load(Array.from(originals.records.ids.keys()));
    const names = new Map(copies.records.ids.map((id, row) => [id, row]));
    for (const [index, id] of originals.records.ids.entries()) {
      const copy = await copies.records.load([names.get(id)!]);
      let difference = 0;
      for (let pixel = 0; pixel < 4096; pixel++)
        difference += Math.abs(data[4096 * index + pixel]! - copy.data[pixel]!);
      expect(difference / 4096).toBeLessThan(0.01);
    }
  });
});

const knees = join(shared, 'bone-xray');

describe.skipIf(!existsSync(knees))(`bone-xray (skipped where ${knees} is not there)`, () => {
  it('is dealt with a patient’s knees together and the counts of its README', async () => {
    const settings = parseDataSettings({
      kind: 'images',
      columns: { group: 'patient_id', split: 'split' },
      classes: ['normal', 'abnormal'],
      positive: 'abnormal',
    });
    const listing = await listRecords(settings, knees, { seed });
    const counts = deal(listing, [6, 1, 1, 1, 1]).map((manifest) => manifestCounts(manifest));
    const total = (part: (typeof parts)[number]) =>
      [0, 1].map((label) => counts.reduce((sum, site) => sum + site[part][label]!, 0));
    expect(parts.map(total)).toEqual([
      [2286, 2446],
      [328, 345],
      [314, 356],
    ]);
    expect(new Set(listing.records.map(({ group }) => group)).size).toBe(3458);
    expect(counts[0]?.train[0]).toBeCloseTo(0.6 * 2286, -1);
  });
});
