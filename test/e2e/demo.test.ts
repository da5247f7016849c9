import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { demoStudy } from '../../src/study/run/index.ts';
import { folder, septum } from './septum.ts';

interface Scores {
  readonly n?: number;
  readonly auc?: number;
  readonly accuracy?: number;
  readonly r2?: number;
  readonly rmse?: number;
}

interface DemoResult {
  readonly synthetic: boolean;
  readonly out: string;
  readonly metrics: { readonly splits: { readonly test: { readonly overall: Scores } } };
  readonly baselines: readonly { readonly name: string; readonly splits: { readonly test: Scores } }[];
}

/** A line of log.jsonl; the first says when the run began. */
interface LogEntry {
  readonly event: string;
  readonly seconds: number;
  readonly time?: string;
}

/** Runs the demo, whose first step is made within 10 s. */
async function demo(name: string): Promise<{ readonly network: Scores; readonly linear: Scores; readonly by: string }> {
  const out = join(folder(), 'demo');
  const since = Date.now();
  const { code, stdout } = await septum(['demo', '--quick', '--case', name, '--out', out, '--json']);
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as DemoResult;
  expect(result).toMatchObject({ synthetic: true, out });
  const log = (await readFile(join(out, 'log.jsonl'), 'utf8')).trim().split('\n');
  const [begun, ...events] = log.map((line) => JSON.parse(line) as LogEntry);
  const step = events.find(({ event }) => event === 'step');
  const startMs = Date.parse(begun?.time ?? '') - since;
  expect(startMs + 1000 * (step?.seconds ?? Infinity)).toBeLessThan(10_000);
  const [baseline] = result.baselines;
  return {
    network: result.metrics.splits.test.overall,
    linear: baseline?.splits.test ?? {},
    by: baseline?.name ?? 'none',
  };
}

describe('septum demo --quick', () => {
  it('converges on synthetic lipids; linear regression is worse by a fifth', { timeout: 120_000 }, async () => {
    const { network, linear, by } = await demo('cholesterol');
    expect(by).toBe('linear regression');
    expect(network.r2).toBeGreaterThan(0.9);
    expect(network.rmse).toBeLessThan(0.8 * (linear.rmse ?? 0));
  });

  for (const name of ['covid-ct', 'bone-xray'])
    it(`converges on synthetic ${name} images; logistic regression is worse`, { timeout: 240_000 }, async () => {
      const { network, linear, by } = await demo(name);
      expect(by).toBe('logistic regression');
      expect(network.auc).toBeGreaterThan(0.9);
      expect(network.accuracy).toBeGreaterThan(0.8);
      expect(network.auc).toBeGreaterThan((linear.auc ?? 1) + 0.05);
    });

  it('learns nothing from shuffled labels', { timeout: 120_000 }, async () => {
    const study = join(folder(), 'study.yaml');
    const honest = demoStudy('cholesterol', { quick: true });
    const shuffled = honest.replace('case: cholesterol,', 'case: cholesterol, shuffleLabels: true,');
    expect(shuffled).not.toBe(honest);
    await writeFile(study, shuffled);
    const { code, stdout } = await septum(['run', study, '--out', join(folder(), 'run'), '--json']);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as DemoResult['metrics']).splits.test.overall.r2).toBeLessThan(0.05);
  });
});

describe('shuffled labels of images', () => {
  // 2000 test records: an AUC of pure chance has a standard deviation of 0.013.
  const settings = 'records: 2600, shuffleLabels: true, fractions: { train: 0.15, val: 0.07, test: 0.78 }';
  for (const name of ['covid-ct', 'bone-xray'])
    it(`teach nothing: the AUC of ${name} is that of chance`, { timeout: 120_000 }, async () => {
      const study = join(folder(), 'study.yaml');
      await writeFile(
        study,
        `study: shuffled
choices: { labels: server }
sites: { ratio: [7, 2, 1] }
network: { name: ct-cnn, options: { size: 32 } }
training: { batch: 32, epochs: 3, learningRate: 0.001, select: last }
data: { kind: synthetic, case: ${name}, ${settings}, image: { width: 32, height: 32, channels: 1 } }
`,
      );
      const { code, stdout } = await septum(['run', study, '--out', join(folder(), 'run'), '--json']);
      expect(code).toBe(0);
      const { overall } = (JSON.parse(stdout) as DemoResult['metrics']).splits.test;
      expect(overall.n).toBeGreaterThan(1900);
      expect(overall.auc).toBeGreaterThan(0.45);
      expect(overall.auc).toBeLessThan(0.55);
    });
});

describe('septum bench', () => {
  it('prints one object with speeds and where the time goes', { timeout: 120_000 }, async () => {
    const steps = ['--steps', '40', '--warm-up', '5'];
    const { code, stdout } = await septum([
      'bench',
      '--network',
      'lipid-mlp',
      '--sites',
      '2',
      '--batch',
      '8',
      ...steps,
      '--json',
    ]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as Record<string, number> & { where: Record<string, number>; stepMs: number };
    for (const speed of ['samplesPerSecond', 'mirrored', 'uncut']) expect(result[speed]).toBeGreaterThan(0);
    const parts = ['site', 'wire', 'trunk', 'waiting'].map((part) => result.where[part] ?? Number.NaN);
    expect(Math.min(...parts)).toBeGreaterThanOrEqual(0);
    // 16 records with 50 activations and a label go up, with their header a message each.
    expect(result['bytesUpPerStep']).toBeGreaterThan(16 * 51 * 4);
    expect(result['bytesUpPerStep']).toBeLessThan(16 * 51 * 4 + 2 * 512);
  });

  it('writes commits while steps are timed when it is told to, and none else', { timeout: 120_000 }, async () => {
    const steps = ['--steps', '400', '--warm-up', '5', '--split-only', '--json'];
    for (const commits of [['--commits', '0.02'], []]) {
      const { code, stdout } = await septum(['bench', '--network', 'lipid-mlp', '--sites', '2', ...steps, ...commits]);
      expect(code).toBe(0);
      const result = JSON.parse(stdout) as { commits: number };
      if (commits.length > 0) expect(result.commits).toBeGreaterThan(0);
      else expect(result.commits).toBe(0);
    }
  });
});
