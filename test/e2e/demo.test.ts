import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, septum } from './septum.ts';

interface DemoResult {
  readonly synthetic: boolean;
  readonly out: string;
  readonly metrics: {
    readonly splits: { readonly test: { readonly overall: { readonly r2: number; readonly rmse: number } } };
  };
  readonly baselines: readonly {
    readonly name: string;
    readonly splits: { readonly test: { readonly rmse: number } };
  }[];
}

describe('septum demo', () => {
  it('converges on synthetic records, with a linear model beside it that is worse', { timeout: 120_000 }, async () => {
    const out = join(folder(), 'demo');
    const { code, stdout } = await septum(['demo', '--quick', '--out', out, '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as DemoResult;
    expect(result).toMatchObject({ synthetic: true, out });
    const { r2, rmse } = result.metrics.splits.test.overall;
    expect(r2).toBeGreaterThan(0.9);
    expect(result.baselines[0]?.name).toBe('linear regression');
    expect(rmse).toBeLessThan(result.baselines[0]?.splits.test.rmse ?? 0);
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
});
