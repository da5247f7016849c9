import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runInMemory } from '../../../test/harness/study.ts';
import { listRecords, openSiteData } from '../../data/node/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import { dealStudy } from '../dealing.ts';
import { metricsOfRun } from '../metrics-file.ts';
import { readModelFolder, writeModelFolder } from '../model-folder.ts';
import { planOf, siteSharesOf } from '../planned-study.ts';
import { parseStudy } from '../study-file.ts';
import { lineChart, logTicksOf, ticksOf } from './chart.ts';
import { html } from './html.ts';
import { bytes, count, decimals, digits, duration } from './numbers.ts';
import { type ReportContent, reportHtml } from './index.ts';
import { imageStrip } from './strip.ts';

const text = `study: images
choices: { labels: server }
sites: { ratio: [3, 1], names: [north, south] }
network: { name: ct-cnn }
training: { batch: 16, epochs: 3 }
data: { kind: synthetic, case: covid-ct, records: 120, image: { width: 16, height: 16 } }
`;

let folder = '';
let content: ReportContent;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-report-'));
  const study = parseStudy(text, 'study.yaml');
  const planned = planOf(study);
  const listing = await listRecords(study.data, '', { seed: 1 });
  const { dealing, manifests } = dealStudy(listing, siteSharesOf(study));
  const data = await Promise.all(manifests.map((manifest) => openSiteData(study.data, '', manifest)));
  const { server } = await runInMemory({ ...planned, data });
  await writeModelFolder(folder, { ...planned, ...server, dealing, versions: {} });
  const engine = await openEngine({ placement: 'inline', threads: 1 });
  const strip = await imageStrip({
    model: await readModelFolder(folder),
    engine,
    dataPath: '',
    manifest: manifests[0]!,
    site: 'north',
  });
  await engine.close();
  content = {
    plan: planned.plan,
    metrics: metricsOfRun(planned.plan, server),
    dealing,
    synthetic: listing.synthetic,
    remarks: listing.warnings,
    history: server.history,
    bestEpoch: server.bestEpoch,
    seconds: 75,
    versions: { septum: '0.1.0', node: 'v20' },
    baselines: [{ name: 'logistic regression', splits: { test: server.test!.overall } }],
    processes: [{ name: 'server', waitedMs: 1200, peakBytes: 2e8 }],
    strip,
  };
});
afterAll(() => rm(folder, { recursive: true }));

describe('reportHtml', () => {
  it('is one file that asks for nothing from elsewhere', async () => {
    const page = reportHtml(content);
    if (process.env['REPORT_OUT']) await writeFile(process.env['REPORT_OUT'], page);
    const addresses = [...page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]*)/g)].map(
      ([, address]) => address ?? '',
    );
    expect(addresses.length).toBeGreaterThan(20);
    expect(addresses.filter((address) => !address.startsWith('data:image/png;base64,'))).toEqual([]);
    expect(page).not.toMatch(/https?:|<script|@import/);
  });

  it('shows the figures of each site, the baseline, the counts dealt and who learns what', () => {
    const page = reportHtml(content);
    const { overall, sites } = content.metrics.splits.test!;
    for (const metrics of [overall, ...Object.values(sites)])
      if (metrics && 'auc' in metrics) expect(page).toContain(`<td>${decimals(metrics.auc, 3)}</td>`);
    for (const name of ['north', 'south', 'logistic regression', 'SYNTHETIC data', 'epoch kept', '1 min 15 s'])
      expect(page).toContain(name);
    for (const statement of content.plan.statements) expect(page).toContain(html`${statement}`.text);
    expect(page).toContain(`<td>${content.dealing!.counts['north']!.train.reduce((sum, one) => sum + one)} (`);
  });

  it('escapes what comes from outside', () => {
    const { task } = content.plan;
    if (task.kind !== 'classification') throw new Error('classes');
    const plan = { ...content.plan, task: { ...task, classes: ['<b>', '"&'], positive: '"&' } };
    const page = reportHtml({ ...content, plan, remarks: ['<script>alert(1)</script>'] });
    expect(page).not.toMatch(/<script|<b><\/td|<td><b>/);
    expect(page).toContain('&#60;script&#62;');
  });

  it('says why a run stopped, also before its first validation', () => {
    const nothing = { ...content.metrics, splits: {} };
    const page = reportHtml({
      ...content,
      metrics: nothing,
      history: [],
      bestEpoch: -1,
      strip: undefined,
      stopped: 'site south was lost',
    });
    expect(page).toContain('did not reach its end: site south was lost');
    expect(page).toContain('ended before its first validation');
  });
});

describe('imageStrip', () => {
  it('shows originals and channels of validation records as PNG', () => {
    const { strip } = content;
    expect(strip!.records).toHaveLength(5);
    expect(strip!.shown).toEqual([0, 3, 6, 9, 12, 15]);
    expect(strip!.records.map(({ row }) => row)).toEqual([...new Set(strip!.records.map(({ row }) => row))]);
    const pictures = strip!.records.flatMap(({ original, channels }) => [original, ...channels]);
    expect(new Set(strip!.records.map(({ original }) => original)).size).toBe(5);
    expect(new Set(strip!.records.map(({ channels }) => channels.join())).size).toBe(5);
    for (const picture of pictures)
      expect(
        Buffer.from(picture.slice(picture.indexOf(',') + 1), 'base64')
          .subarray(1, 4)
          .toString(),
      ).toBe('PNG');
  });
});

describe('numbers', () => {
  it('are written for people', () => {
    expect([decimals(0.12345, 3), decimals(null, 3), digits(8.54), digits(12345.6), digits(0)]).toEqual([
      '0.123',
      '–',
      '8.540',
      '12\u202f346',
      '0',
    ]);
    expect([count(1234567), bytes(999), bytes(65_536), bytes(1.25e9)]).toEqual([
      '1\u202f234\u202f567',
      '999 B',
      '65.5 kB',
      '1.25 GB',
    ]);
    expect([duration(1.24), duration(59), duration(75), duration(7380)]).toEqual([
      '1.2 s',
      '59 s',
      '1 min 15 s',
      '2 h 03 min',
    ]);
  });
});

describe('lineChart', () => {
  it('has round ticks that enclose the values', () => {
    expect(ticksOf(0.52, 0.97)).toEqual([0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(ticksOf(7, 7)).toEqual([6, 8]);
    for (const [low, high] of [
      [0.0269, 35.1],
      [-3, 4],
      [1e-5, 2e-5],
    ] as const) {
      const ticks = ticksOf(low, high);
      expect(ticks[0]).toBeLessThanOrEqual(low);
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(high);
      expect(ticks.length).toBeLessThanOrEqual(8);
    }
  });

  it('spreads values that fall tenfold on a logarithmic scale', () => {
    expect(logTicksOf(0.027, 0.68)).toEqual([0.02, 0.05, 0.1, 0.2, 0.5, 1]);
    expect(logTicksOf(1e-6, 3)).toEqual([1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10]);
    const heights = (values: number[]) =>
      [...lineChart('Loss', [{ name: 'a', values }], 0).text.matchAll(/[ML][\d.]+,([\d.]+)/g)].map(([, y]) =>
        Number(y),
      );
    const [first = 0, second = 0, third = 0] = heights([1, 0.1, 0.01]);
    expect(second - first).toBeCloseTo(third - second, 0);
    const [high = 0, middle = 0, low = 0] = heights([1, 0.8, 0.6]);
    expect(middle - high).toBeCloseTo(low - middle, 0);
  });

  it('leaves gaps where a value is not known, and is empty without values', () => {
    expect(lineChart('Loss', [{ name: 'a', values: [1, null, 3, 2] }], 0).text).toMatch(/d="M[\d.,]+M[\d.,]+L[\d.,]+"/);
    expect(lineChart('Loss', [{ name: 'a', values: [null] }], 0).text).toBe('');
  });
});
