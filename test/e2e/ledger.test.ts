import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, septum, start } from './septum.ts';
import { approval, table, tableStudy } from './studies.ts';

const command = resolve(import.meta.dirname, '../../dist/cli/main.js');

/** A study of one site, with a server that serves it. */
async function served() {
  const place = folder();
  const study = tableStudy(place, 1);
  const data = join(place, 'records.csv');
  writeFileSync(data, table(100));
  const state = join(place, 'site');
  const serve = async (name: string) => {
    const server = start(['server', '--insecure', '--study', study, '--state', join(place, name), '--timeout', '30']);
    const [, url = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:\d+)/);
    return { server, url };
  };
  const siteAt = (url: string) => ['site', '--server', url, '--name', 'site-1', '--study', study, '--data', data];
  return { place, study, state, serve, siteAt };
}

describe('a site’s operator', () => {
  it('is shown the plan and approves it by its hash, once', { timeout: 180_000 }, async () => {
    const { study, state, serve, siteAt } = await served();
    const [, hash = ''] = await approval(study);
    const shown = await septum(['study', 'show', study]);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('labels server: the labels (diagnoses or target values) leave this site');
    expect(shown.stdout).toMatch(/activations: 204 B a train record, 30 times/);
    expect(shown.stdout.trimEnd().split('\n').at(-1)).toBe(`plan ${hash}`);

    const first = await serve('first');
    const site = [...siteAt(first.url), '--state', state];
    for (const [approve, said] of [
      [[], `give --approve ${hash}`],
      [['--approve', hash.slice(0, 11)], '12 to 64 hexadecimal digits'],
      [['--approve', 'f'.repeat(64)], `this study’s plan is another one, ${hash}`],
    ] as const) {
      const refused = await septum([...site, ...approve]);
      expect(refused.stderr).toContain(said);
      expect(refused.stderr).toContain(shown.stdout.trimEnd());
      expect(refused.code).toBe(2);
    }
    expect(existsSync(join(state, 'approved.json'))).toBe(false);
    expect(first.server.said()).not.toContain('has connected');
    expect((await septum([...site, '--approve', hash.slice(0, 12)])).code).toBe(0);
    if (process.platform !== 'win32') expect(statSync(join(state, 'approved.json')).mode & 0o777).toBe(0o600);

    const second = await serve('second');
    expect((await septum([...siteAt(second.url), '--state', state])).code).toBe(0);
    const events = (
      JSON.parse((await septum(['ledger', 'show', '--state', state, '--json'])).stdout) as {
        events: { what: string; text: string }[];
      }
    ).events.map(({ what, text }) => `${what} ${/\((\w+)\)$/.exec(text)?.[1] ?? text.split(': ').at(-1)}`);
    expect(events.filter((event) => !event.startsWith('session-opened'))).toEqual([
      'approved flag',
      'session-closed finished',
      'approved remembered',
      'session-closed finished',
    ]);

    // Another plan of the same study is asked about again.
    writeFileSync(study, readFileSync(study, 'utf8').replace('epochs: 30', 'epochs: 31'));
    expect((await septum([...siteAt(second.url), '--state', state])).code).toBe(2);
    writeFileSync(join(state, 'approved.json'), '{}', { mode: 0o600 });
    const broken = await septum([...siteAt(second.url), '--state', state]);
    expect(broken.stderr).toContain('approved.json: it is not a list of approved plans');
    expect(broken.code).toBe(1);
  });

  // `script` (util-linux) gives a command a terminal.
  it.skipIf(process.platform !== 'linux' || spawnSync('script', ['--version']).status !== 0)(
    'is asked on a terminal, and a no is a no',
    { timeout: 180_000 },
    async () => {
      const { state, serve, siteAt } = await served();
      const { server, url } = await serve('server');
      const words = [process.execPath, command, ...siteAt(url), '--state', state];
      const answer = (text: string) =>
        spawnSync('script', ['-qec', words.join(' '), '/dev/null'], { input: text, encoding: 'utf8', timeout: 30_000 });
      const no = answer('\n');
      expect(no.stdout).toContain('take part? [y/N]');
      expect(no.stdout).toContain('was not approved; nothing has left this site');
      expect(no.status).toBe(1);
      const yes = answer('y\n');
      expect(yes.stdout).toContain('the study is over');
      expect(yes.status).toBe(0);
      await server.ended;
      const ledger = await septum(['ledger', 'show', '--state', state]);
      expect(ledger.stdout).toContain(`of study table was approved (asked)`);
    },
  );
});

describe('septum ledger', () => {
  it('says what left and whether it is as written, and names what is wrong', { timeout: 180_000 }, async () => {
    const { place, study, state, serve, siteAt } = await served();
    const none = await septum(['ledger', 'verify', '--state', state]);
    expect(none.stderr).toContain('there is no ledger');
    expect(none.code).toBe(2);
    const { server, url } = await serve('server');
    expect((await septum([...siteAt(url), '--state', state, ...(await approval(study))])).code).toBe(0);
    await server.ended;

    const ledger = ['--state', state];
    const shown = await septum(['ledger', 'show', ...ledger]);
    expect(shown.stdout).toMatch(/^\d{4}-\d\d-\d\d \(UTC\)$/m);
    // Of 100 records 60 are for training and 20 each for validation and test.
    expect(shown.stdout).toMatch(/^ {2}activations +\d+ messages of 2 420 records with \d+ kB$/m);
    const sums = JSON.parse((await septum(['ledger', 'show', ...ledger, '--json'])).stdout) as {
      days: { kinds: { kind: string; messages: number; bytes: number }[] }[];
    };
    const kinds = sums.days.flatMap((day) => day.kinds);
    const metrics = JSON.parse(readFileSync(join(place, 'server', 'metrics.json'), 'utf8')) as { bytesUp: number };
    // When the site says that it has kept everything, the server's figures are written.
    const { bytes = 0, messages = 1 } = kinds.find(({ kind }) => kind === 'acknowledge') ?? {};
    expect(kinds.reduce((sum, each) => sum + each.bytes, 0)).toBe(metrics.bytesUp + bytes / messages);

    const fine = await septum(['ledger', 'verify', ...ledger]);
    expect(fine.stdout).toMatch(/^OK: \d+ entries, each as it was written/);
    expect(fine.code).toBe(0);
    const [noted = ''] = /[0-9a-f]{64}/.exec(fine.stdout) ?? [];
    const key = createPublicKey(readFileSync(join(state, 'site.key'))).export({ type: 'spki', format: 'pem' });
    writeFileSync(join(place, 'public.pem'), key);
    rmSync(join(state, 'site.key'));
    expect((await septum(['ledger', 'verify', ...ledger])).code).toBe(2);
    const byPublic = [...ledger, '--key', join(place, 'public.pem'), '--noted', noted];
    expect((await septum(['ledger', 'verify', ...byPublic])).code).toBe(0);
    const other = await septum(['ledger', 'verify', ...ledger, '--key', '0'.repeat(64)]);
    expect(other.stdout).toContain('WRONG: the ledger is signed by another key');
    expect(other.code).toBe(1);

    const file = join(state, 'ledger', '000000000001.jsonl');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"records":20', '"records":2'));
    const wrong = await septum(['ledger', 'verify', ...byPublic]);
    expect(wrong.stdout).toMatch(/^WRONG: entry \d+ was changed/);
    expect(wrong.code).toBe(1);
  });
});
