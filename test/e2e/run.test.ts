import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { MetricsFile } from '../../src/study/index.ts';
import { folder, septum } from './septum.ts';
import { lipidStudy, table, tableStudy } from './studies.ts';

const read = (path: string): string => readFileSync(path, 'utf8');
const metricsOf = (out: string): MetricsFile => JSON.parse(read(join(out, 'metrics.json'))) as MetricsFile;

describe('septum run', () => {
  it('with method queue logs the order of the steps, and how old each batch was', { timeout: 120_000 }, async () => {
    const place = folder();
    const out = join(place, 'out');
    expect((await septum(['run', lipidStudy(place, { epochs: 2, method: 'queue' }), '--out', out])).code).toBe(0);
    const entriesOf = (file: string) =>
      read(join(out, file))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const steps = entriesOf('log.jsonl').filter(({ event }) => event === 'step');
    expect(steps.length).toBeGreaterThanOrEqual(2 * 8);
    expect(entriesOf('order.jsonl')).toEqual(
      steps.map(({ epoch, step, siteLosses }) => ({ epoch, step, site: (siteLosses as { site: number }[])[0]?.site })),
    );
    for (const { staleness } of steps) {
      const { waitedSteps, updatesBehind } = staleness as { waitedSteps: number; updatesBehind: number };
      expect(waitedSteps).toBeGreaterThanOrEqual(0);
      expect(updatesBehind).toBeLessThan(4);
    }
    expect(Object.keys(metricsOf(out).splits.test?.sites ?? {})).toEqual(['site-1', 'site-2', 'site-3']);
  });

  it('leaves all that it promises, and twice the same', { timeout: 120_000 }, async () => {
    const place = folder();
    const study = lipidStudy(place);
    const [first, second] = [join(place, 'first'), join(place, 'second')];
    const ended = await septum(['run', study, '--out', first, '--json']);
    expect(ended.stderr).toContain('SYNTHETIC');
    expect(ended.code).toBe(0);
    expect(JSON.parse(ended.stdout)).toEqual(metricsOf(first));

    expect(readdirSync(first).toSorted()).toEqual(
      ['commits', 'log.jsonl', 'metrics.json', 'model', 'plan.json', 'report.html', 'study.yaml'].toSorted(),
    );
    expect(read(join(first, 'study.yaml'))).toBe(read(study));
    expect(readdirSync(join(first, 'model')).toSorted()).toEqual([
      'joined.onnx',
      'model.json',
      'segment.onnx',
      'trunk.onnx',
    ]);
    for (const name of ['server', 'site-1', 'site-2', 'site-3'])
      expect(readdirSync(join(first, 'commits'))).toContain(`${name}.000000000028.commit`);
    expect(read(join(first, 'report.html'))).toContain('SYNTHETIC');

    const log = read(join(first, 'log.jsonl'));
    const entries = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(entries[0]).toMatchObject({ event: 'run', seed: 1, study: 'lipids', node: process.version });
    expect(entries.filter(({ event }) => event === 'engine')).toHaveLength(4);
    // 600 records, about 70 % of them to train, 64 a step.
    expect(entries.filter(({ event }) => event === 'step').length).toBeGreaterThanOrEqual(4 * 6);
    expect(log).not.toContain('synthetic-cholesterol');
    const states = entries.filter(({ event }) => event === 'connection').map(({ state }) => state);
    expect(states.filter((state) => state === 'connected')).toHaveLength(3);
    expect(states).not.toContain('lost'); // They left in order.

    const metrics = metricsOf(first);
    expect(Object.keys(metrics.splits.test?.sites ?? {})).toEqual(['site-1', 'site-2', 'site-3']);
    expect(metrics.bytesUp).toBeGreaterThan(0);

    expect((await septum(['run', study, '--out', second])).code).toBe(0);
    const { seconds: _s, samplesPerSecond: _p, ...figures } = metrics;
    expect(metricsOf(second)).toMatchObject(figures);
    for (const file of ['joined.onnx', 'segment.onnx', 'trunk.onnx', 'model.json'])
      expect(readFileSync(join(second, 'model', file)).equals(readFileSync(join(first, 'model', file)))).toBe(true);

    // The figures of the run come out again when its model is evaluated, and every record is predicted.
    const evaluated = await septum(['evaluate', '--model', first, '--split', 'test,val', '--json']);
    expect(evaluated.code).toBe(0);
    const again = JSON.parse(evaluated.stdout) as MetricsFile;
    for (const part of ['test', 'val'] as const) {
      const [own, its] = [metrics.splits[part]?.overall, again.splits[part]?.overall];
      expect(its).toMatchObject({ n: own?.n });
      expect((its as { rmse: number }).rmse).toBeCloseTo((own as { rmse: number }).rmse, 3);
      expect(Object.keys(again.splits[part]?.sites ?? {})).toEqual(['site-1', 'site-2', 'site-3']);
    }
    const predictions = join(place, 'predictions.csv');
    expect((await septum(['predict', '--model', first, '--out', predictions])).code).toBe(0);
    const lines = read(predictions).trim().split('\r\n');
    expect(lines).toHaveLength(601);
    expect(lines[0]).toBe('id,ldl (mg/dL)');
    const refused = await septum(['predict', '--model', first, '--out', predictions]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('is there already; --force replaces it');
    expect((await septum(['predict', '--model', first, '--out', predictions, '--force'])).code).toBe(0);
  });

  it('refuses a folder that is not empty, replaces a run with --force, and keeps what is not its own', async () => {
    const place = folder();
    const study = lipidStudy(place, { epochs: 1 });
    const out = join(place, 'out');
    expect((await septum(['run', study, '--out', out])).code).toBe(0);
    writeFileSync(join(out, 'notes.txt'), 'mine');
    const refused = await septum(['run', study, '--out', out]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('is not empty');
    expect((await septum(['run', study, '--out', out, '--force', '--seed', '2'])).code).toBe(0);
    expect(metricsOf(out).seed).toBe(2);
    expect(read(join(out, 'notes.txt'))).toBe('mine');
  });

  it('gives each site a model of its own with private segments', async () => {
    const place = folder();
    const out = join(place, 'out');
    const study = lipidStudy(place, { epochs: 1, method: 'parallel', sites: 'names: [north, south]' });
    expect((await septum(['run', study, '--out', out])).code).toBe(0);
    expect(readdirSync(join(out, 'model')).toSorted()).toEqual(['model.json', 'north', 'south']);
    const unnamed = await septum(['predict', '--model', out, '--out', '-']);
    expect(unnamed.code).toBe(2);
    expect(unnamed.stderr).toContain('--site');
    expect((await septum(['predict', '--model', out, '--site', 'south', '--out', '-'])).stdout).toContain('ldl');
  });

  it('says all that is wrong with the data, and with --skip-bad what it skipped', async () => {
    const place = folder();
    const study = tableStudy(place, 2);
    const data = join(place, 'records.csv');
    writeFileSync(data, table(200).replace('r7,', 'r7,x').replace('r9,', 'r9,x'));
    const refused = await septum(['run', study, '--data', data, '--out', join(place, 'out')]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/records\.csv, line 9: a is/);
    expect(refused.stderr).toMatch(/records\.csv, line 11: a is/);
    const ended = await septum(['run', study, '--data', data, '--out', join(place, 'out'), '--skip-bad', '2']);
    expect(ended.stderr).toMatch(/note: .*records\.csv, line 9/);
    expect(ended.code).toBe(0);
    expect(metricsOf(join(place, 'out')).splits.test?.overall.n).toBe(40);
  });
});
