// One server with several studies, as processes over TLS: each ends with the bits that it has alone.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, type Running, septum, start } from './septum.ts';
import { approval, table, tableStudy } from './studies.ts';

/** A study on tables with two sites, and its name. */
function studyOf(place: string, name: string, epochs: number): string {
  const path = join(place, `${name}.yaml`);
  const text = readFileSync(tableStudy(place, 2), 'utf8');
  writeFileSync(path, text.replace('study: table', `study: ${name}`).replace('epochs: 30', `epochs: ${epochs}`));
  return path;
}

function recordsOf(place: string): string[] {
  return [0, 1].map((site) => {
    const path = join(place, `hospital-${site}.csv`);
    writeFileSync(path, table(100, 1000 * site));
    return path;
  });
}

const listening = (server: Running) => server.says(/listens on wss:\/\/(\S+)$/m);

async function join2(state: string, study: string, place: string, site: string): Promise<string> {
  const { stdout, code } = await septum(['invite', site, '--state', state, '--study', study]);
  expect(code).toBe(0);
  const joined = await septum(['join', '-', '--state', place], { input: stdout });
  expect(joined.code).toBe(0);
  return joined.stderr;
}

interface Listed {
  readonly served: boolean;
  readonly studies: readonly Record<string, unknown>[];
}
const list = async (state: string): Promise<Listed> =>
  JSON.parse((await septum(['study', 'list', '--state', state, '--json'])).stdout) as Listed;

describe('a server with two studies', () => {
  it('ends each with the bits that it has alone, and lists them', { timeout: 300_000 }, async () => {
    const place = folder();
    const data = recordsOf(place);
    const studies = { lipids: studyOf(place, 'lipids', 9), bones: studyOf(place, 'bones', 5) };
    const state = join(place, 'state');
    const server = start(['server', '--state', state, '--study', studies.lipids, '--study', studies.bones]);
    await listening(server);
    expect(await list(state)).toMatchObject({
      served: true,
      studies: [
        { name: 'bones', state: 'waiting', epoch: 0, epochs: 5, folder: 'studies/bones' },
        { name: 'lipids', state: 'waiting', epoch: 0, epochs: 9, folder: 'studies/lipids' },
      ],
    });
    // site-1 is in both, with one folder; the hospitals of site-2 have one each.
    const first = join(place, 'site-1');
    await join2(state, 'lipids', first, 'site-1');
    expect(await join2(state, 'bones', first, 'site-1')).toContain('--study bones --data');
    for (const name of ['lipids', 'bones']) await join2(state, name, join(place, `site-2-${name}`), 'site-2');
    const unsaid = await septum(['site', '--state', first, '--data', data[0]!]);
    expect(unsaid.stderr).toContain('the site has joined lipids, bones: say which, with --study');
    expect(unsaid.code).toBe(2);
    const sites: Running[] = [];
    for (const [name, study] of Object.entries(studies)) {
      const rest = ['--study', study, ...(await approval(study))];
      sites.push(start(['site', '--state', first, '--data', data[0]!, ...rest]));
      sites.push(start(['site', '--state', join(place, `site-2-${name}`), '--data', data[1]!, ...rest]));
    }
    const served = await server.ended;
    for (const { ended } of sites) expect((await ended).code).toBe(0);
    expect(served.stderr).toMatch(/^bones: all sites are here|^bones: site-[12] has connected; all sites are here$/m);
    expect(served.stdout).toMatch(/^study lipids:$[\s\S]*^results: .*studies.lipids$/m);
    expect(served.code).toBe(0);
    const text = (await septum(['study', 'list', '--state', state])).stdout;
    expect(text).toMatch(/^bones +done +5\/5 +0 of 2 +step \d+, /m);
    expect(text).toMatch(/^lipids +done +9\/9 +0 of 2 +step \d+, \S+ \S+ UTC$/m);
    expect(text).toContain('no server runs with this folder');
    const over = await septum(['server', '--state', state]);
    expect(over.stderr).toContain('it has no study that is to go on');
    expect(over.code).toBe(2);

    for (const [name, study] of Object.entries(studies)) {
      const alone = join(place, `alone-${name}`);
      const lonely = start(['server', '--insecure', '--study', study, '--state', alone]);
      const [, url = ''] = await lonely.says(/listens on (ws:\S+)/);
      const approve = await approval(study);
      const own = data.map((path, index) =>
        start(['site', '--server', url, '--name', `site-${index + 1}`, '--study', study, '--data', path, ...approve]),
      );
      expect((await lonely.ended).code).toBe(0);
      for (const { ended } of own) expect((await ended).code).toBe(0);
      const model = (at: string) => readFileSync(join(at, 'model/joined.onnx'));
      expect(model(join(state, 'studies', name)).equals(model(alone))).toBe(true);
      const figures = (at: string) =>
        (JSON.parse(readFileSync(join(at, 'metrics.json'), 'utf8')) as { splits: unknown }).splits;
      expect(figures(join(state, 'studies', name))).toEqual(figures(alone));
    }
  });

  it('goes on with those that are not over when it is started again without them', { timeout: 300_000 }, async () => {
    const place = folder();
    const data = recordsOf(place);
    const [short, long] = [studyOf(place, 'short', 4), studyOf(place, 'long', 100_000)];
    const state = join(place, 'state');
    const flags = ['--timeout', '5'];
    // The first study of a new folder has the folder itself.
    const alone = start(['server', '--state', state, '--study', long, ...flags]);
    await listening(alone);
    alone.child.kill('SIGTERM');
    expect((await alone.ended).code).toBe(1);
    const server = start(['server', '--state', state, '--study', long, '--study', short, ...flags]);
    const [, address = ''] = await listening(server);
    for (const site of ['site-1', 'site-2'])
      for (const study of ['short', 'long']) await join2(state, study, join(place, site), site);
    const take = async (file: string): Promise<Running[]> => {
      const approve = await approval(file);
      return data.map((path, index) =>
        start(['site', '--state', join(place, `site-${index + 1}`), '--study', file, '--data', path, ...approve]),
      );
    };
    const ofShort = await take(short);
    const ofLong = await take(long);
    for (const { ended } of ofShort) expect((await ended).code).toBe(0);
    await server.says(/long: epoch 1\/100000/);
    const during = await list(state);
    expect(during.studies).toMatchObject([
      { name: 'long', folder: '', state: 'running', sites: [{ connected: true }, { connected: true }] },
      { name: 'short', folder: 'studies/short', state: 'done' },
    ]);
    // One whose site goes for good fails, and says so; the process has ended as both are over.
    ofLong[1]!.child.kill('SIGKILL');
    const ended = await server.ended;
    expect(ended.stderr).toMatch(/^septum: long: site site-2 is lost/m);
    expect(ended.code).toBe(1);
    await ofLong[0]!.ended;
    expect((await list(state)).studies).toMatchObject([
      { name: 'long', state: 'failed', reason: expect.stringContaining('site site-2 is lost') },
      { name: 'short', state: 'done' },
    ]);
    expect(existsSync(join(state, 'server.jsonl'))).toBe(true);

    const again = start(['server', '--state', state, '--listen', address, ...flags]);
    await listening(again);
    const sites = await take(long);
    await again.says(/the study goes on from the commit after step|epoch \d+\/100000/);
    expect(again.said()).not.toContain('short: ');
    const [late] = (await take(short)).map((site) => site.ended);
    expect((await late)?.stderr).toContain('the server refused: study-stopped: the study is over');
    again.child.kill('SIGTERM');
    await Promise.all([again.ended, ...sites.map(({ ended: gone }) => gone)]);
    expect((await list(state)).studies).toMatchObject([
      { name: 'long', state: 'waiting' },
      { name: 'short', state: 'done' },
    ]);
  });
});
