import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { folder, septum } from './septum.ts';
import { lipidStudy } from './studies.ts';

const script = resolve(import.meta.dirname, '../../scripts/replay.mjs');
const execute = promisify(execFile);

interface Replayed {
  readonly steps: readonly { readonly run: number; readonly replay: number }[];
  readonly largestDifference: number;
  readonly test: { readonly run: { readonly rmse: number }; readonly replay: { readonly rmse: number } };
}

describe('npm run replay', () => {
  it.each(['septum', 'detached'])(
    'the uncut network goes the way of a run with method %s',
    { timeout: 60_000 },
    async (method) => {
      const place = folder();
      const out = join(place, 'out');
      expect((await septum(['run', lipidStudy(place, { method, epochs: 8 }), '--out', out])).code).toBe(0);
      const { stdout } = await execute(process.execPath, [script, out, '--json']);
      const { steps, largestDifference, test } = JSON.parse(stdout) as Replayed;
      expect(steps).toHaveLength(50);
      // The loss falls, so that small differences say something.
      expect(steps[49]?.replay).toBeLessThan(0.8 * (steps[0]?.replay ?? 0));
      expect(largestDifference).toBeLessThan(1e-4);
      expect(test.replay.rmse / test.run.rmse).toBeCloseTo(1, 4);
    },
  );

  it('refuses a run that no uncut network can follow', { timeout: 60_000 }, async () => {
    const place = folder();
    const out = join(place, 'out');
    expect((await septum(['run', lipidStudy(place, { method: 'parallel', epochs: 1 }), '--out', out])).code).toBe(0);
    const refused = execute(process.execPath, [script, out]);
    await expect(refused).rejects.toThrow(/segments: private/);
  });
});
