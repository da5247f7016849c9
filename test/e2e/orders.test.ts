// What a server's operator orders, from the command line.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { folder, septum, start } from './septum.ts';
import { approval, table, tableStudy } from './studies.ts';

it('orders are kept for the study that they name, and answered', { timeout: 120_000 }, async () => {
  const place = folder();
  const state = join(place, 'state');
  const order = async (...words: string[]) => {
    const { stderr, code } = await septum([...words, '--state', state]);
    return `${code} ${stderr.trim()}`;
  };
  expect(await order('pause', 'table')).toMatch(/^2 septum: --state .*: no server has run there/);
  const server = start(['server', '--insecure', '--study', tableStudy(place, 2), '--state', state]);
  await server.says(/waiting for site-1, site-2$/m);
  expect(await order('pause', 'bones')).toBe('2 septum: there is no study bones; there are table');
  expect(await order('pause', 'table')).toMatch(
    /^0 table: it stands still .*; the server hears of it within a second$/,
  );
  expect(await order('pause', 'table')).toBe('0 table: that is what was wanted of it already');
  expect((await septum(['study', 'list', '--state', state])).stdout).toMatch(
    /^table +(waiting, to pause|paused) +0\/30/m,
  );
  expect(await order('resume', 'table')).toMatch(/^0 table: it goes on; /);
  server.child.kill('SIGTERM');
  await server.ended;
  expect(await order('stop', 'table')).toMatch(/^0 table: it ends .*; no server runs .*: it takes effect when one is/);
  expect(await order('resume', 'table')).toBe('2 septum: study table is to stop: it does not pause or go on any more');
});

it(
  'a study with a quorum loses a site, gets it back, stands still, goes on and is stopped',
  { timeout: 180_000 },
  async () => {
    const place = folder();
    const state = join(place, 'state');
    const study = tableStudy(place, 3);
    const text = readFileSync(study, 'utf8')
      .replace('count: 3', 'count: 3, quorum: 2, stragglerTimeoutMs: 1000')
      .replace('epochs: 30', 'epochs: 100000');
    writeFileSync(study, text);
    const approve = await approval(study);
    const server = start(['server', '--insecure', '--study', study, '--state', state]);
    const [, url = ''] = await server.says(/listens on (ws:\S+) \(this machine only\)/);
    const startSite = (site: number) => {
      const data = join(place, `hospital-${site}.csv`);
      writeFileSync(data, table(100, 1000 * site));
      const own = ['--name', `site-${site}`, '--data', data, '--state', join(place, `site-${site}`)];
      return start(['site', '--server', url, '--study', study, ...approve, ...own]);
    };
    const sites = [startSite(1), startSite(2), startSite(3)];
    await Promise.all(sites.map((site) => site.says(/train \d+, val/)));
    await server.says(/all sites are here/);
    sites[2]!.child.kill('SIGKILL');
    await server.says(/site site-3 is away or silent.*: the study goes on from/);
    await server.says(/2 of 3 sites take part, without site-3$/m);
    sites[2] = startSite(3);
    await server.says(/3 of 3 sites take part; site-3 enters here$/m);
    await sites[2].says(/takes part from step \d+ on, after it was away/);
    const order = async (word: string) => (await septum([word, 'table', '--state', state])).code;
    expect(await order('pause')).toBe(0);
    await server.says(/paused at the commit after step \d+: the sites wait/);
    expect((await septum(['study', 'list', '--state', state])).stdout).toMatch(/^table +paused/m);
    expect(await order('resume')).toBe(0);
    await server.says(/no longer paused/);
    expect(await order('stop')).toBe(0);
    const ends = await Promise.all([server.ended, ...sites.map(({ ended }) => ended)]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect((await septum(['study', 'list', '--state', state])).stdout).toMatch(/^table +stopped/m);
    const { splits } = JSON.parse(readFileSync(join(state, 'metrics.json'), 'utf8')) as {
      splits: { test: { overall: { n: number } } };
    };
    expect(splits.test.overall.n).toBe(60);
    expect(existsSync(join(state, 'model/joined.onnx'))).toBe(true);
    const members = readFileSync(join(state, 'members.jsonl'), 'utf8').trim().split('\n');
    expect(members.map((line) => (JSON.parse(line) as { sites: string[] }).sites.length)).toEqual(
      expect.arrayContaining([2, 3]),
    );
  },
);
