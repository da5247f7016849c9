// Wall clocks that jump by years, forwards and back, while real processes train over TLS: no wait ends early or never, no site is turned
// away, the ledgers hold, and the study ends with the bits that it has under right clocks.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { readLedger } from '../../src/store/node/index.ts';
import { folder, septum, start, type StartOptions } from '../e2e/septum.ts';
import { approval } from '../e2e/studies.ts';
import { sites, writeStudy } from './process-study.ts';

const yearMs = 365 * 24 * 3_600_000;
const preload = ['--import', new URL('wall-clock.mjs', import.meta.url).href];
const text = { name: 'clocks', choices: 'labels: server, segments: private' } as const;

let place: string;
let study: string;
beforeAll(async () => {
  place = folder();
  await writeStudy(place, text);
  study = join(place, 'study.yaml');
});

/** What a party's clock is off by, and the options of a process that goes by it. */
class WrongClock {
  readonly #file: string;

  constructor(name: string) {
    mkdirSync(join(place, 'clocks'), { recursive: true });
    this.#file = join(place, 'clocks', name);
    this.set(0);
  }

  set(offsetMs: number): void {
    writeFileSync(this.#file, String(offsetMs));
  }

  get options(): StartOptions {
    return { node: preload, env: { SEPTUM_CLOCK: this.#file } };
  }
}

/** Invites, joins and trains; `jump` is called whenever the server has written a commit. */
async function run(name: string, jump: (clocks: Readonly<Record<string, WrongClock>>, times: number) => void) {
  const clocks = Object.fromEntries(['server', ...sites].map((party) => [party, new WrongClock(`${name}-${party}`)]));
  const state = (party: string): string => join(place, name, party);
  const options = (party: string): StartOptions => (clocks[party] as WrongClock).options;
  const server = start(['server', '--study', study, '--state', state('server'), '--timeout', '120'], options('server'));
  await server.says(/listens on wss:/);
  const approve = await approval(study);
  const enrol = async (site: string): Promise<void> => {
    const invite = await septum(['invite', site, '--state', state('server')], options('server'));
    const joined = await septum(['join', '-', '--state', state(site)], { ...options(site), input: invite.stdout });
    expect(joined.stderr).toContain(`${site} has joined`);
  };
  await Promise.all(sites.map(enrol));
  jump(clocks, 0);
  const running = sites.map((site) =>
    start(
      ['site', '--state', state(site), '--study', study, '--data', join(place, `${site}.csv`), '--timeout', '120', ...approve], // prettier-ignore
      options(site),
    ),
  );
  for (let times = 1, ended = false; !ended; times++) {
    ended = await Promise.race([
      server.ended.then(() => true),
      new Promise<boolean>((settle) => setTimeout(() => settle(false), 20)),
    ]);
    jump(clocks, times);
  }
  const ends = await Promise.all([server, ...running].map((process) => process.ended));
  expect(ends.map(({ code, stderr }) => (code === 0 ? '' : stderr))).toEqual(['', '', '']);
  const verified = await Promise.all(sites.map((site) => septum(['ledger', 'verify', '--state', state(site)])));
  expect(verified).toEqual(sites.map(() => expect.objectContaining({ code: 0, stderr: '' }) as object));
  const times: Record<string, readonly string[]> = {};
  for (const site of sites) {
    const written: string[] = [];
    for await (const { at } of readLedger(join(state(site), 'ledger'))) written.push(at);
    times[site] = written;
  }
  const model = (site: string) => readFileSync(join(state(site), 'model', site, 'joined.onnx'));
  const metrics = JSON.parse(readFileSync(join(state('server'), 'metrics.json'), 'utf8')) as {
    readonly splits: object;
  };
  return { result: { models: sites.map(model), splits: metrics.splits }, times };
}

test('a study whose clocks jump by ten years ends as one whose clocks are right', { timeout: 600_000 }, async () => {
  const right = await run('right', () => undefined);
  // Each party's its own way, back and forth every 20 ms.
  const wrong = await run('wrong', (clocks, times) => {
    const way = times % 2 === 0 ? 10 : -10;
    clocks['server']?.set(way * yearMs);
    for (const [index, site] of sites.entries()) clocks[site]?.set((index === 0 ? -way : way) * yearMs);
  });
  expect(wrong.result).toEqual(right.result);
  for (const site of sites) {
    const times = wrong.times[site] ?? [];
    expect(times.filter((at, entry) => at < (times[entry - 1] ?? '')).length).toBeGreaterThan(0);
    expect(right.times[site]).toEqual(right.times[site]?.toSorted());
  }
});

test('an invite of a server whose clock was set forwards is refused as expired', { timeout: 120_000 }, async () => {
  const clock = new WrongClock('forwards');
  const state = join(place, 'forwards');
  const server = start(['server', '--study', study, '--state', state], clock.options);
  await server.says(/listens on wss:/);
  const { stdout } = await septum(['invite', 'site-1', '--state', state], clock.options);
  clock.set(yearMs);
  const late = await septum(['join', '-', '--state', join(place, 'late')], { input: stdout });
  expect(late.stderr).toMatch(/token-expired/);
  expect(late.code).toBe(1);
  // Set right again it serves: what an invite's end is counted by is the clock of the server.
  clock.set(0);
  const again = await septum(['join', '-', '--state', join(place, 'late')], { input: stdout });
  expect(again.stderr).toContain('site-1 has joined');
  server.child.kill('SIGTERM');
  await server.ended;
});
