import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, septum, start } from './septum.ts';
import { approval, table, tableStudy } from './studies.ts';

describe('septum server and septum site', () => {
  it('train together, each site with the records of its own folder', { timeout: 60_000 }, async () => {
    const place = folder();
    const study = tableStudy(place, 2);
    const state = join(place, 'state');
    const approve = await approval(study);
    const server = start(['server', '--insecure', '--study', study, '--state', state, '--timeout', '30']);
    const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+) \(this machine only\)/);
    await server.says(/waiting for site-1, site-2$/m);
    const sites = [0, 1].map((site) => {
      const data = join(place, `hospital-${site}.csv`);
      writeFileSync(data, table(100, 1000 * site));
      const own = ['--name', `site-${site + 1}`, '--data', data, '--state', join(place, `site-${site + 1}`)];
      return start(['site', '--server', url, '--study', study, ...approve, ...own]);
    });
    const [served, ...took] = await Promise.all([server.ended, ...sites.map(({ ended }) => ended)]);
    expect(served?.stderr).not.toContain('hospital-');
    expect(served?.stderr).toMatch(/^site-[12] has connected; waiting for site-[12]$/m);
    expect(served?.stderr).toMatch(/^site-[12] has connected; all sites are here$/m);
    expect(served?.code).toBe(0);
    for (const site of took) {
      expect(site.stderr).toContain('Labels (diagnoses or target values) leave with the activations');
      expect(site.code).toBe(0);
    }
    const metrics = JSON.parse(readFileSync(join(state, 'metrics.json'), 'utf8')) as {
      splits: { test: { overall: { n: number; r2: number } } };
    };
    expect(metrics.splits.test.overall.n).toBe(40);
    expect(metrics.splits.test.overall.r2).toBeGreaterThan(0.9);
    for (const file of ['report.html', 'log.jsonl', 'model/joined.onnx'])
      expect(existsSync(join(state, file))).toBe(true);
    // Segment and trunk are the same at all three, so each of them has the whole model.
    const model = (at: string) => readFileSync(join(place, at, 'model/joined.onnx'));
    expect(model('site-1').equals(model('state'))).toBe(true);
    expect(model('site-2').equals(model('state'))).toBe(true);
    const other = join(place, 'other.yaml');
    writeFileSync(other, readFileSync(study, 'utf8').replace('epochs: 30', 'epochs: 31'));
    const refused = await septum(['server', '--insecure', '--study', other, '--state', state]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('holds another study');
    const results = (): string[] =>
      ['metrics.json', 'report.html', 'log.jsonl'].map((file) => readFileSync(join(state, file), 'utf8'));
    const before = results();
    const again = await septum(['server', '--insecure', '--study', study, '--state', state, '--timeout', '1']);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('holds a finished study: give a new folder');
    expect(results()).toEqual(before);
  });

  it('a server waits for sites that have not come, and stops when one stays away', { timeout: 60_000 }, async () => {
    const place = folder();
    const study = tableStudy(place, 2);
    const state = join(place, 'state');
    const data = join(place, 'records.csv');
    writeFileSync(data, table(100));
    const rest = ['--study', study, '--data', data, ...(await approval(study))];
    const serve = () => start(['server', '--insecure', '--study', study, '--state', state, '--timeout', '1']);
    const server = serve();
    const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
    const site = start(['site', '--server', url, '--name', 'site-2', ...rest]);
    await server.says(/site-2 has connected; waiting for site-1$/m);
    server.child.kill('SIGTERM');
    await Promise.all([server.ended, site.ended]);

    // What was not finished may be served again in its folder.
    const again = serve();
    const [, newUrl = ''] = await again.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
    const leaver = start(['site', '--server', newUrl, '--name', 'site-1', ...rest]);
    await again.says(/site-1 has connected/);
    leaver.child.kill('SIGTERM');
    await leaver.ended;
    const other = start(['site', '--server', newUrl, '--name', 'site-2', ...rest]);
    await other.ended;
    const { code, stderr } = await again.ended;
    expect(stderr).toContain('site site-1 is lost: no connection for 1 s');
    expect(stderr).toContain('The study stops before its first commit');
    expect(code).toBe(1);
  });

  it('a site whose study file differs is refused', { timeout: 60_000 }, async () => {
    const place = folder();
    const study = tableStudy(place, 1);
    const data = join(place, 'records.csv');
    writeFileSync(data, table(100));
    const other = join(place, 'other.yaml');
    writeFileSync(other, readFileSync(study, 'utf8').replace('0.01', '0.02'));
    const server = start(['server', '--insecure', '--study', study, '--state', join(place, 'state'), '--timeout', '5']);
    const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
    const rest = ['--study', other, '--data', data, ...(await approval(other))];
    const site = await septum(['site', '--server', url, '--name', 'site-1', ...rest]);
    expect(site.stderr).toMatch(/another plan/);
    expect(site.code).toBe(1);
    server.child.kill('SIGINT');
    expect((await server.ended).code).toBe(1);
  });

  it('without keys speak on this machine only', async () => {
    const place = folder();
    const study = tableStudy(place, 1);
    const server = await septum([
      'server',
      '--insecure',
      '--study',
      study,
      '--state',
      join(place, 's'),
      '--listen',
      '0.0.0.0:0',
    ]);
    expect(server.stderr).toContain('loopback');
    expect(server.code).toBe(2);
    const data = join(place, 'records.csv');
    writeFileSync(data, table(100));
    const site = await septum([
      'site',
      '--server',
      'ws://10.0.0.1:7700',
      '--name',
      'site-1',
      '--study',
      study,
      '--data',
      data,
      ...(await approval(study)),
    ]);
    expect(site.stderr).toContain('loopback');
    expect(site.code).toBe(2);
  });
});
