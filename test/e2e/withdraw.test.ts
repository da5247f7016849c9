// A site that takes no further part, from the command line: by its own word, also while the server is away.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { folder, septum, start } from './septum.ts';
import { approval, tableStudy } from './studies.ts';

it('a site that withdraws is out at once, and the server hears of it when it can', { timeout: 240_000 }, async () => {
  const place = folder();
  const study = tableStudy(place, 2);
  writeFileSync(study, readFileSync(study, 'utf8').replace('count: 2', 'count: 2, quorum: 1'));
  const [state, site] = [join(place, 'state'), join(place, 'site-1')];
  const serve = (...more: string[]) => start(['server', '--study', study, '--state', state, ...more]);
  const server = serve();
  const [, address = ''] = await server.says(/listens on wss:\/\/(\S+)$/m);
  const { stdout: input } = await septum(['invite', 'site-1', '--state', state]);
  expect((await septum(['join', '-', '--state', site], { input })).code).toBe(0);
  server.child.kill('SIGTERM');
  await server.ended;

  const other = await septum(['withdraw', 'bones', '--state', site]);
  expect(other.stderr).toContain('the site has not joined study bones; it has joined table');
  expect(other.code).toBe(2);
  const alone = await septum(['withdraw', 'table', '--state', site]);
  expect(alone.stderr).toContain('site-1 takes no further part in study table');
  expect(alone.stderr).toContain('the server has not confirmed it');
  expect(alone.code).toBe(1);
  const records = ['--data', join(place, 'none.csv')];
  const refused = await septum(['site', '--state', site, '--study', study, ...records, ...(await approval(study))]);
  expect(refused.stderr).toMatch(
    /site site-1 has withdrawn from study table \(\d{4}-\d\d-\d\d\): it takes no further part/,
  );
  expect(refused.code).toBe(2);

  const again = serve('--listen', address);
  await again.says(/listens on wss/);
  const told = await septum(['withdraw', 'table', '--state', site]);
  expect(told.stderr).toContain('the server knows it');
  expect(told.code).toBe(0);
  await again.says(/site-1 has withdrawn from the study/);
  expect((await septum(['study', 'list', '--state', state])).stdout).toMatch(/0 of 1 \(1 withdrawn\)/);
  const invite = await septum(['invite', 'site-1', '--state', state]);
  expect(invite.stderr).toContain('site site-1 has withdrawn from study table: it is not invited again');
  expect(invite.code).toBe(1);
  again.child.kill('SIGTERM');
  await again.ended;
  const ledger = await septum(['ledger', 'show', '--state', site]);
  expect(ledger.stdout).toContain('site site-1 has withdrawn from study table');
  expect((await septum(['ledger', 'verify', '--state', site])).stdout).toMatch(/^OK/);
  const log = readFileSync(join(state, 'log.jsonl'), 'utf8');
  expect(log).toContain('"event":"withdrawn"');
});
