import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectAllGone, folder, processesOf, start, type Running } from './septum.ts';
import { lipidStudy } from './studies.ts';

const timeout = 60_000;

/** A run that trains for longer than any test, once it trains. */
async function training(): Promise<{
  readonly run: Running;
  readonly out: string;
  readonly pids: Record<string, number>;
}> {
  const place = folder();
  const out = join(place, 'out');
  const run = start(['run', lipidStudy(place, { epochs: 100_000 }), '--out', out]);
  await run.says(/epoch [2-9]\d*\/100000 /);
  const pids = processesOf(run.said());
  expect(Object.keys(pids)).toEqual(['server', 'site-1', 'site-2', 'site-3']);
  return { run, out, pids };
}

function expectReadable(out: string, why: RegExp): void {
  const metrics = JSON.parse(readFileSync(join(out, 'metrics.json'), 'utf8')) as { splits: Record<string, unknown> };
  expect(Object.keys(metrics.splits)).toEqual(['val']);
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toMatch(why);
  const lines = readFileSync(join(out, 'log.jsonl'), 'utf8').trim().split('\n');
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'failed' });
}

describe('a run that is stopped', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'by %s ends every process and leaves a readable folder',
    { timeout },
    async (signal) => {
      const { run, out, pids } = await training();
      run.child.kill(signal);
      const { code, stderr } = await run.ended;
      expect(code).toBe(1);
      expect(stderr).toContain(`interrupted by ${signal}`);
      await expectAllGone(Object.values(pids));
      expectReadable(out, new RegExp(`interrupted by ${signal}`));
      expect(readFileSync(join(out, 'log.jsonl'), 'utf8')).toMatch(/"code":"interrupted"/);
    },
  );

  it.each(['server', 'site-2'])(
    'because %s was killed says so, ends the rest and leaves a readable folder',
    { timeout },
    async (name) => {
      const { run, out, pids } = await training();
      process.kill(pids[name] ?? 0, 'SIGKILL');
      const { code, stderr } = await run.ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(`the process of .*${name} was ended by SIGKILL`));
      await expectAllGone(Object.values(pids));
      expectReadable(out, /SIGKILL/);
    },
  );

  it('by kill -9 leaves no process behind', { timeout }, async () => {
    const { run, pids } = await training();
    run.child.kill('SIGKILL');
    await run.ended;
    await expectAllGone(Object.values(pids));
  });
});

it('a run whose readers are gone goes on to its end', { timeout }, async () => {
  const place = folder();
  const out = join(place, 'out');
  const run = start(['run', lipidStudy(place, { epochs: 4 }), '--out', out]);
  await run.says(/site-1 started/);
  run.child.stdout?.destroy();
  run.child.stderr?.destroy();
  expect(await run.ended).toMatchObject({ code: 0, signal: null });
  expect(readFileSync(join(out, 'log.jsonl'), 'utf8')).toContain('"event":"finished"');
});

describe('a run with a quorum', () => {
  const sites = 'ratio: [7, 2, 1], quorum: 2, stragglerTimeoutMs: 1000';

  it('goes on without a site that was killed, and says so to the end', { timeout: 180_000 }, async () => {
    const place = folder();
    const out = join(place, 'out');
    const run = start(['run', lipidStudy(place, { epochs: 60, sites }), '--out', out]);
    await run.says(/epoch [2-9]\d*\/60 /);
    process.kill(processesOf(run.said())['site-2'] ?? 0, 'SIGKILL');
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).toMatch(
      /^site-2 is lost: .* ended by SIGKILL; the study goes on with the 2 that are left, its quorum/m,
    );
    expect(stderr).toMatch(/^2 of 3 sites take part, without site-2$/m);
    expect(stderr).toMatch(/^septum: the study went on without site-2, which was lost: .*SIGKILL$/m);
    expect(stdout).toMatch(/test {2}site-1 .*RMSE/);
    expect(stdout).not.toMatch(/test {2}site-2 /);
    expect(code).toBe(3);
    const log = readFileSync(join(out, 'log.jsonl'), 'utf8');
    expect(log).toMatch(/"event":"lost",.*"site":"site-2","left":2,"quorum":2/);
    expect(log).toContain('"event":"finished"');
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('site-2 was lost');
  });

  it('ends when those that are left are none', { timeout: 180_000 }, async () => {
    const place = folder();
    const out = join(place, 'out');
    const run = start(['run', lipidStudy(place, { epochs: 100_000, sites }), '--out', out]);
    await run.says(/epoch [2-9]\d*\/100000 /);
    const pids = processesOf(run.said());
    process.kill(pids['site-2'] ?? 0, 'SIGKILL');
    await run.says(/2 of 3 sites take part, without site-2/);
    process.kill(pids['site-3'] ?? 0, 'SIGKILL');
    const { code, stderr } = await run.ended;
    expect(stderr).toMatch(/the process of site site-3 was ended by SIGKILL/);
    expect(code).toBe(1);
    await expectAllGone(Object.values(pids));
    expectReadable(out, /SIGKILL/);
  });
});

describe('a detached study', () => {
  it('is trained to its end although a site was killed after its upload', { timeout: 180_000 }, async () => {
    const place = folder();
    const out = join(place, 'out');
    const run = start(['run', lipidStudy(place, { epochs: 400, method: 'detached' }), '--out', out]);
    for (const site of ['site-1', 'site-2', 'site-3']) await run.says(new RegExp(`${site} has uploaded everything`));
    process.kill(processesOf(run.said())['site-2'] ?? 0, 'SIGKILL');
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).toContain('site-2 ended SIGKILL');
    expect(code).toBe(0);
    expect(stdout).toMatch(/test {2}site-2 .*RMSE/);
  });
});
