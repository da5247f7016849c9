// What a server's operator orders, from the command line.

import { join } from 'node:path';
import { expect, it } from 'vitest';
import { folder, septum, start } from './septum.ts';
import { tableStudy } from './studies.ts';

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
