import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { listRecords } from '../../src/data/node/index.ts';
import { dealStudy, readStudy, siteSharesOf } from '../../src/study/index.ts';
import { folder, septum, start } from './septum.ts';
import { approval } from './studies.ts';

const study = `study: own
choices: { labels: server }
sites: { ratio: [2, 1] }
network: { name: ct-cnn, options: { size: 16 } }
training: { batch: 16, epochs: 2 }
data:
  kind: images
  labels: labels.csv
  columns: { path: path, label: label, split: split }
  classes: [dark, light]
  positive: light
  image: { width: 16, height: 16, channels: 1 }
`;

it(
  'a site of a run opens its own records and no other: without the others’ files all goes well',
  { timeout: 60_000 },
  async () => {
    const place = folder();
    const data = join(place, 'data');
    mkdirSync(data);
    const lines = ['path,label,split'];
    for (let image = 0; image < 60; image++) {
      const value = image % 2 === 0 ? 40 : 200;
      const file = `image-${image}.png`;
      await sharp({ create: { width: 16, height: 16, channels: 3, background: { r: value, g: value, b: value } } })
        .png()
        .toFile(join(data, file));
      lines.push(
        `${file},${image % 2 === 0 ? 'dark' : 'light'},${['train', 'train', 'train', 'val', 'test'][image % 5]}`,
      );
    }
    writeFileSync(join(data, 'labels.csv'), `${lines.join('\n')}\n`);
    const studyFile = join(place, 'study.yaml');
    writeFileSync(studyFile, study);
    const read = await readStudy(studyFile);
    const { manifests } = dealStudy(await listRecords(read.data, data, { seed: read.seed }), siteSharesOf(read));

    const approve = await approval(studyFile);
    const server = start(['server', '--insecure', '--study', studyFile, '--state', join(place, 'state')]);
    const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
    const sites = manifests.map((manifest, site) => {
      const own = join(place, `site-${site + 1}`);
      mkdirSync(own);
      const ids = Object.values(manifest.parts).flatMap((part) => part.ids);
      expect(ids.length).toBeGreaterThan(10);
      for (const id of ids) cpSync(join(data, id), join(own, id));
      const file = join(place, `manifest-${site}.json`);
      writeFileSync(file, JSON.stringify(manifest));
      const name = ['--name', `site-${site + 1}`, '--data', own, '--manifest', file];
      return septum(['site', '--server', url, '--study', studyFile, ...approve, ...name]);
    });
    for (const ended of await Promise.all([server.ended, ...sites]))
      expect(`${ended.code} ${ended.stderr}`).toMatch(/^0 /);
  },
);
