// What is in a site's records, and what they are called, stays there: values that could not come from elsewhere are planted in them and
// looked for in everything that leaves a site and everything that the server keeps or says. Labels leave where the plan says so, and are
// found: so the search can find.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { deal } from '../../src/data/index.ts';
import { listRecords, openSiteData } from '../../src/data/node/index.ts';
import { bytesOf } from '../../src/tensor/index.ts';
import { readStudy } from '../../src/study/index.ts';
import { RecordingProxy } from '../faults/recording-proxy.ts';
import { filesBelow, found, numberForms, rawForm, textForms } from '../faults/sentinels.ts';
import { type Ended, folder, start } from './septum.ts';
import { approval } from './studies.ts';

let proxy: RecordingProxy | undefined;
afterEach(() => proxy?.close());

const rows = 60;
/** Words that stand in a site's files and nowhere else. */
const wordsOf = (site: number) => ({
  folder: `Ward-Sentinel-${site}`,
  file: `Schattenbach_${site}.csv`,
  column: `Verdict-Sentinel-${site}`,
  cell: `Lumbago-Sentinel-${site}`,
  id: (row: number) => `MRN-${site}-${7_340_000 + row}`,
  group: (row: number) => `Ottokar-Sentinel-${site}-${row >> 1}`,
});
const textsOf = (site: number): string[] => {
  const { folder: place, file, column, cell, id, group } = wordsOf(site);
  const each = Array.from({ length: rows }, (_, row) => [id(row), group(row)]).flat();
  return [place, file, column, cell, ...each];
};
/** Exact in float32, and like no activation, gradient or count. */
const featureOf = (site: number, row: number, column: number): number =>
  20_000 + 4000 * site + 37 * row + 1500 * column + (2 * row + 1) / 512;
const labelOf = (site: number, row: number): number => 5000 + 1000 * site + 7 * row + (2 * row + 1) / 1024;

/** A study of two sites on tables of such values; gives the folder of each site's table. */
function tables(place: string, labels: 'server' | 'site') {
  const study = join(place, 'study.yaml');
  writeFileSync(
    study,
    `study: sentinels
choices: { labels: ${labels} }
sites: { count: 2 }
network: { name: lipid-mlp }
training: { batch: 24, epochs: 2, learningRate: 0.01 }
data:
  kind: table
  columns: { id: id, group: who, split: part }
  inputs: [{ column: a, unit: mm }, { column: b, unit: mm }]
  target: { column: y, unit: mm }
`,
  );
  const files = [0, 1].map((site) => {
    const words = wordsOf(site);
    mkdirSync(join(place, words.folder));
    const path = join(place, words.folder, words.file);
    const lines = Array.from({ length: rows }, (_, row) => {
      const part = ['train', 'train', 'train', 'val', 'test'][(row >> 1) % 5];
      const [a, b] = [featureOf(site, row, 0), featureOf(site, row, 1)];
      return [words.id(row), words.group(row), part, a, b, labelOf(site, row), words.cell].join(',');
    });
    writeFileSync(path, [`id,who,part,a,b,y,${words.column}`, ...lines, ''].join('\n'));
    return path;
  });
  return { study, files };
}

/** A server behind a proxy that keeps what passes. */
async function recorded(place: string, study: string) {
  const state = join(place, 'server');
  const server = start(['server', '--insecure', '--study', study, '--state', state, '--timeout', '30']);
  const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
  const recording = await RecordingProxy.open(url);
  proxy = recording;
  const approve = await approval(study);
  const site = (index: number, data: string) => {
    const own = ['--name', `site-${index + 1}`, '--data', data, '--state', join(place, `state-${index}`)];
    return start(['site', '--server', recording.url, '--study', study, ...approve, ...own]);
  };
  /** Everything but what the sites themselves say, and keep. */
  const outside = (served: Ended) =>
    new Map([
      ...recording.streams.map((stream, index) => [`traffic ${index}`, stream] as const),
      ...filesBelow(state),
      ['server’s output', Buffer.from(served.stdout)] as const,
      ['server’s errors', Buffer.from(served.stderr)] as const,
    ]);
  return { server, state, site, outside };
}

/** What the sites themselves say and keep. */
function inside(place: string, ...took: readonly Ended[]) {
  const said = took.map(
    ({ stdout, stderr }, index) => [`site ${index}’s words`, Buffer.from(stdout + stderr)] as const,
  );
  return new Map([...said, ...[0, 1].flatMap((site) => [...filesBelow(join(place, `state-${site}`))])]);
}

/** The rows of a site as they enter its network, as float32. */
async function networkInputs(study: string, file: string, standardisation?: { mean: number[]; sd: number[] }) {
  const { data: settings, seed } = await readStudy(study);
  const [manifest] = deal(await listRecords(settings, file, { seed }), [1]);
  const data = await openSiteData(settings, file, manifest!);
  try {
    if (standardisation) data.pooling.setStandardisation(standardisation);
    const inputs: Uint8Array[] = [];
    for (const part of Object.values(data.parts)) {
      for (let row = 0; row < part.count; row++) inputs.push(bytesOf(await part.load([row])).slice(0, 64));
    }
    return inputs;
  } finally {
    await data.close();
  }
}

const all = [0, 1] as const;
const everyRow = Array.from({ length: rows }, (_, row) => row);

describe('of what is in the records, and what they are called, nothing is found outside', () => {
  it('but the labels, where the plan sends them', { timeout: 240_000 }, async () => {
    const place = folder();
    const { study, files } = tables(place, 'server');
    const { server, state, site, outside } = await recorded(place, study);
    const sites = files.map((file, index) => site(index, file));
    const [served, ...took] = await Promise.all([server.ended, ...sites.map(({ ended }) => ended)]);
    for (const { code, stderr } of [served, ...took]) expect(`${code} ${stderr}`).toMatch(/^0 /);
    const places = outside(served);

    const texts = all.flatMap(textsOf).flatMap(textForms);
    const features = all.flatMap((index) =>
      everyRow.flatMap((row) => [0, 1].flatMap((column) => numberForms(featureOf(index, row, column)))),
    );
    expect(found(places, [...texts, ...features])).toEqual([]);
    expect(found(inside(place, ...took), [...texts, ...features])).toEqual([]);
    const { standardisation } = JSON.parse(readFileSync(join(state, 'model', 'model.json'), 'utf8')) as {
      standardisation: { mean: number[]; sd: number[] };
    };
    for (const file of files) {
      const inputs = await networkInputs(study, file, standardisation);
      expect(inputs).toHaveLength(rows);
      expect(
        found(
          places,
          inputs.map((bytes, row) => rawForm(`row ${row}`, bytes)),
        ),
      ).toEqual([]);
    }

    // Every label is in what the sites sent, and in no file or word of the server's.
    const labels = all.flatMap((index) => everyRow.flatMap((row) => numberForms(labelOf(index, row))));
    const where = found(places, labels);
    const leaving = labels.filter(({ form }) => form === 'float32le').map(({ value }) => value);
    for (const value of leaving)
      expect(where).toContainEqual(expect.stringMatching(`^traffic \\d+: ${value} as float32le$`));
    expect(where.filter((line) => !line.startsWith('traffic'))).toEqual([]);
  });

  it('nor the labels where they stay; a bad record is named to its own site alone', { timeout: 240_000 }, async () => {
    const place = folder();
    const { study, files } = tables(place, 'site');
    const { server, site, outside } = await recorded(place, study);
    const first = site(0, files[0]!);
    await server.says(/site-1 has connected/);
    const good = readFileSync(files[1]!, 'utf8');
    const value = String(featureOf(1, 6, 1));
    writeFileSync(files[1]!, good.replace(value, `${value}-Zwielicht`));
    const failed = await site(1, files[1]!).ended;
    expect(failed.code).toBe(1);
    // The site's own data manager must find it.
    expect(failed.stderr).toContain('Schattenbach_1.csv, line 8');
    writeFileSync(files[1]!, good);
    const second = site(1, files[1]!);
    const [served, ...took] = await Promise.all([server.ended, first.ended, second.ended]);
    for (const { code, stderr } of [served, ...took]) expect(`${code} ${stderr}`).toMatch(/^0 /);

    const forms = all.flatMap((index) => [
      ...[...textsOf(index), 'Zwielicht'].flatMap(textForms),
      ...everyRow.flatMap((row) =>
        [labelOf(index, row), featureOf(index, row, 0), featureOf(index, row, 1)].flatMap(numberForms),
      ),
    ]);
    expect(found(outside(served), forms)).toEqual([]);
    expect(found(inside(place, ...took), forms)).toEqual([]);
  });

  it('nor pixels and file names, when a site fails in the middle', { timeout: 240_000 }, async () => {
    const place = folder();
    const study = join(place, 'study.yaml');
    writeFileSync(
      study,
      `study: sentinels
choices: { labels: server }
sites: { count: 2 }
network: { name: ct-cnn, options: { size: 16 } }
training: { batch: 12, epochs: 2 }
data:
  kind: images
  columns: { group: who, split: part }
  classes: [dark, light]
  positive: light
  image: { width: 16, height: 16, channels: 1 }
`,
    );
    const raws: Buffer[] = [];
    const files: Buffer[] = [];
    const data = await Promise.all(
      all.map(async (site) => {
        const own = join(place, `Ward-Sentinel-${site}`);
        mkdirSync(own);
        const lines = ['path,label,who,part'];
        for (let image = 0; image < 20; image++) {
          const name = `Nachtigall_${site}_${image}.png`;
          const raw = Buffer.from(
            Array.from({ length: 256 }, (_, at) => (at * (2 * image + 3) + 91 * site + at * at) % 251),
          );
          const png = await sharp(raw, { raw: { width: 16, height: 16, channels: 1 } })
            .png()
            .toBuffer();
          raws.push(raw.subarray(0, 16));
          files.push(png.subarray(-60, -20));
          writeFileSync(join(own, name), png);
          const part = ['train', 'train', 'train', 'val', 'test'][image % 5];
          lines.push(`${name},${image % 2 ? 'light' : 'dark'},Ottokar-Sentinel-${site}-${image},${part}`);
        }
        writeFileSync(join(own, 'labels.csv'), `${lines.join('\n')}\n`);
        return own;
      }),
    );
    const inputs = (await Promise.all(data.map((path) => networkInputs(study, path)))).flat();
    expect(inputs).toHaveLength(40);

    const { server, site, outside } = await recorded(place, study);
    const first = site(0, data[0]!);
    await server.says(/site-1 has connected/);
    // Training images are in memory by then; those for validation are opened when they are needed.
    for (const name of readdirSync(data[0]!)) if (name.endsWith('.png')) rmSync(join(data[0]!, name));
    const second = site(1, data[1]!);
    const failed = await first.ended;
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('Nachtigall_0_');
    await server.says(/^site-1 lost:/m);
    server.child.kill('SIGTERM');
    const [served, other] = await Promise.all([server.ended, second.ended]);
    expect(served.code).toBe(1);

    const texts = ['Nachtigall', 'Ward-Sentinel', 'Ottokar-Sentinel'].flatMap(textForms);
    const pixels = [...raws, ...files, ...inputs].map((bytes, index) => rawForm(`image ${index}`, bytes));
    const places = outside(served);
    expect(found(places, [...texts, ...pixels])).toEqual([]);
    expect(found(inside(place, other), [...texts, ...pixels])).toEqual([]);
    // It failed after it had sent the activations of its 12 training records.
    const sent = Math.max(
      ...[...places].filter(([name]) => name.startsWith('traffic')).map(([, { length }]) => length),
    );
    expect(sent).toBeGreaterThan(12 * 4 * 16 * 8 * 8);
    const ledger = readFileSync(join(place, 'state-0', 'ledger', '000000000001.jsonl'), 'utf8');
    expect(ledger).toMatch(/"what":"session-closed","study":"sentinels","reason":"(bad|missing)-/);
  });
});
