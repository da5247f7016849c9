// The book of a registry in a real file, alone and with another process writing.

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Registry } from '../registry.ts';
import type { StudyBook } from '../study-book.ts';
import { migrations } from './registry-schema.ts';
import { openSqliteRegistry } from './sqlite-registry.ts';

const lipids = { name: 'lipids', plan: 'aa', sites: ['south', 'north'], address: '127.0.0.1:1', folder: '', epochs: 3 };
let folder: string;
let path: string;
let opened: Registry;
let book: StudyBook;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-book-'));
  path = join(folder, 'registry.db');
  opened = await openSqliteRegistry(path);
  ({ book } = opened);
  opened.putStudy(lipids, 100);
});
afterEach(async () => {
  await opened[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
const status = () => book.statuses()[0]!;
const val = (epoch: number, best = false) =>
  ({ epoch, part: 'val', trainLoss: 0.5, best, figures: { overall: { auc: 0.7 } } }) as const;

describe('a book', () => {
  test('keeps a study’s state with its times, and why it failed', () => {
    expect(status()).toMatchObject({ state: 'waiting', wish: 'run', createdMs: 100, begunMs: null, endedMs: null });
    book.state('lipids', 'running', 200);
    book.state('lipids', 'failed', 300, 'site north is lost');
    expect(status()).toMatchObject({ state: 'failed', reason: 'site north is lost', begunMs: 200, endedMs: 300 });
    book.state('lipids', 'running', 400);
    expect(status()).toMatchObject({ state: 'running', reason: '', begunMs: 200, endedMs: null });
    opened.putStudy({ ...lipids, epochs: 4 }, 500);
    expect(status()).toMatchObject({ state: 'running', createdMs: 100, epochs: 4 });
    expect(() => book.state('bones', 'done', 1)).toThrow(/the registry has no study bones/);
  });

  test('begins anew with another plan', () => {
    book.state('lipids', 'running', 200);
    book.state('lipids', 'done', 300);
    book.commit('lipids', 5, true, 1);
    book.figures('lipids', val(0), 1);
    book.want('lipids', 'stop');
    opened.putStudy({ ...lipids, plan: 'bb' }, 400);
    expect(status()).toMatchObject({
      state: 'waiting',
      wish: 'run',
      begunMs: null,
      endedMs: null,
      epoch: 0,
      commit: null,
    });
  });

  test('knows who is connected, enrolled and withdrawn', () => {
    opened.invite('lipids', 'north', { hash: 't1', expiresMs: 1000 }, 0);
    opened.enrol('lipids', 'north', 't1', 'k1', 1);
    book.connected('lipids', true, 'north');
    const south = { name: 'south', connected: false, enrolled: false, withdrawn: false };
    const north = { name: 'north', connected: true, enrolled: true, withdrawn: false };
    expect(status().sites).toEqual([south, north]);
    book.connected('lipids', false);
    opened.withdraw('lipids', 'north', 'k1', 2);
    expect(status().sites).toEqual([south, { ...north, connected: false, enrolled: false, withdrawn: true }]);
  });

  test('keeps the last commits, and which are whole', () => {
    for (let step = 10; step <= 200; step += 10) book.commit('lipids', step, false, step);
    book.whole('lipids', 190);
    const commits = book.commits('lipids');
    expect(commits).toHaveLength(16);
    expect(commits.slice(-2)).toEqual([
      { step: 190, atMs: 190, whole: true },
      { step: 200, atMs: 200, whole: false },
    ]);
    expect(status().commit).toEqual(commits.at(-1));
  });

  test('keeps figures by epoch and part, and forgets those of what is done again', () => {
    for (const epoch of [0, 1, 2]) book.figures('lipids', val(epoch, epoch === 1), epoch);
    book.figures('lipids', { ...val(1), part: 'test', trainLoss: null, best: true }, 9);
    for (const step of [4, 8]) book.commit('lipids', step, true, step);
    expect(book.figuresOf('lipids').map(({ epoch, part, best }) => [epoch, part, best])).toEqual([
      [0, 'val', false],
      [1, 'val', true],
      [2, 'val', false],
      [1, 'test', true],
    ]);
    book.wentBack('lipids', 4, 1);
    expect(book.figuresOf('lipids')).toEqual([{ ...val(0), atMs: 0 }]);
    expect(book.commits('lipids').map(({ step }) => step)).toEqual([4]);
    expect(status().epoch).toBe(1);
    book.figures('lipids', { ...val(1), trainLoss: Number.NaN, figures: null }, 5);
    expect(book.figuresOf('lipids')[1]).toMatchObject({ trainLoss: null, figures: null });
  });

  test('keeps the last wish, and none after a stop', () => {
    for (const wish of ['pause', 'run', 'pause', 'stop'] as const) {
      book.want('lipids', wish);
      expect(book.wish('lipids')).toBe(wish);
    }
    expect(() => book.want('lipids', 'run')).toThrow(/was to stop already/);
    expect(() => book.want('bones', 'stop')).toThrow(/the registry has no study bones/);
  });

  test('takes what another process writes while it writes itself', { timeout: 60_000 }, async () => {
    const times = 200;
    const script = `
      import Database from 'libsql';
      const db = new Database(process.argv[1]);
      db.exec('PRAGMA busy_timeout = 5000');
      const wish = db.prepare("UPDATE studies SET wish = CASE wish WHEN 'run' THEN 'pause' ELSE 'run' END, created_ms = created_ms + 1");
      for (let time = 0; time < ${times}; time++) wish.run();`;
    const other = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, path], {
      cwd: import.meta.dirname,
    });
    const before = opened.version();
    let ended = false;
    const isOver = other.then(() => (ended = true));
    for (let epoch = 0; !ended; epoch++) {
      book.figures('lipids', val(epoch % 50), epoch);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await isOver;
    expect(opened.version()).not.toBe(before);
    expect(status()).toMatchObject({ createdMs: 100 + times, wish: 'run' });
  });
});

describe('a registry of version 1', () => {
  test('is brought to the present one, with all that was in it', async () => {
    const oldPath = join(folder, 'old.db');
    const db = new Database(oldPath);
    db.exec(`${migrations[0]}; PRAGMA user_version = 1;
      INSERT INTO studies (name, plan, address) VALUES ('bones', 'bb', 'example.org:7700');
      INSERT INTO sites (study, place, name) VALUES (1, 0, 'east'), (1, 1, 'west');
      INSERT INTO tokens VALUES ('t1', 1, 0, 1000, NULL);
      INSERT INTO keys (site, key, enrolled_ms, ended_ms, ended) VALUES (2, 'k1', 1, 2, 'revoked'), (2, 'k2', 3, NULL, NULL);`);
    db.close();
    await chmod(oldPath, 0o600);
    for (let opening = 0; opening < 2; opening++) {
      await using old = await openSqliteRegistry(oldPath);
      expect(old.book.statuses()).toEqual([
        expect.objectContaining({ name: 'bones', folder: '', state: 'waiting', wish: 'run', epoch: 0, commit: null }),
      ]);
      expect(old.standings('west', 'k1').get('bones')).toBe('revoked');
      expect(old.standings('west', 'k2').get('bones')).toBe('enrolled');
      expect(old.enrol('bones', 'east', 't1', 'k3', 5)).toBe('open');
    }
  });

  test('and one of a newer version is refused', async () => {
    const newer = join(folder, 'newer.db');
    await (await openSqliteRegistry(newer))[Symbol.asyncDispose]();
    const db = new Database(newer);
    db.exec('PRAGMA user_version = 3');
    db.close();
    await expect(openSqliteRegistry(newer)).rejects.toThrow(/version 3, expected 2: a newer Septum/);
  });
});
