import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Registry } from '../registry.ts';
import { openSqliteRegistry } from './sqlite-registry.ts';

const lipids = { name: 'lipids', plan: 'aa', sites: ['south', 'north'], address: '127.0.0.1:1', folder: '', epochs: 3 };
const bones = {
  name: 'bones',
  plan: 'bb',
  sites: ['north'],
  address: '127.0.0.1:2',
  folder: 'studies/bones',
  epochs: 9,
};
let folder: string;
let sites: Registry;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-registry-'));
  sites = await openSqliteRegistry(join(folder, 'registry.db'));
  sites.putStudy(lipids, 0);
  sites.putStudy(bones, 0);
});
afterEach(async () => {
  await sites[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const invite = (hash: string, expiresMs = 1000, site = 'north') => sites.invite('lipids', site, { hash, expiresMs }, 0);
const enrol = (hash: string, key: string, nowMs = 1, site = 'north', study = 'lipids') =>
  sites.enrol(study, site, hash, key, nowMs);
const standing = (key: string, site = 'north', study = 'lipids') => sites.standings(site, key).get(study) ?? 'unknown';

describe('a registry', () => {
  test('keeps studies with their sites in order, and takes what has changed of one', async () => {
    const changed = { ...lipids, plan: 'cc', sites: ['south', 'north', 'west'], address: 'example.org:443' };
    sites.putStudy(changed, 5);
    const again = await openSqliteRegistry(join(folder, 'registry.db'));
    expect(again.studies()).toEqual([bones, changed]);
    await again[Symbol.asyncDispose]();
  });

  test('gives a site its key for the token of an invite, once, and for the same key again', () => {
    invite('t1');
    expect(standing('k1')).toBe('unknown');
    expect(enrol('t1', 'k1')).toBe('open');
    expect(standing('k1')).toBe('enrolled');
    expect(enrol('t1', 'k2')).toBe('spent');
    expect(enrol('t1', 'k1', 5000)).toBe('open');
    expect([standing('k1'), standing('k2')]).toEqual(['enrolled', 'unknown']);
  });

  test('says whose a key is, and what each invite is worth', () => {
    const holder = (key: string) => Object.values(sites.holder(key) ?? {}).join(' ');
    expect(sites.holder('k1')).toBeUndefined();
    invite('t1');
    invite('t2', 50, 'south');
    enrol('t1', 'k1');
    expect(holder('k1')).toBe('north enrolled');
    const spent = { site: 'north', tokenHash: 't1', standing: 'spent' };
    expect(sites.invites(49)).toEqual([spent, { site: 'south', tokenHash: 't2', standing: 'open' }]);
    expect(sites.invites(50)).toEqual([spent, { site: 'south', tokenHash: 't2', standing: 'expired' }]);
    invite('t3');
    enrol('t3', 'k2');
    expect([holder('k1'), holder('k2')]).toEqual(['north replaced', 'north enrolled']);
    // The same key once more, as another site's: whoever has it comes before whoever had it.
    enrol('t2', 'k1', 2, 'south');
    invite('t4');
    enrol('t4', 'k1', 2);
    sites.revoke('lipids', 'north', 3);
    expect(holder('k1')).toBe('south enrolled');
    sites.revoke('lipids', 'south', 3);
    expect(holder('k1')).toBe('north revoked');
    invite('t5');
    enrol('t5', 'k3');
    sites.withdraw('lipids', 'north', 'k3', 4);
    expect(holder('k3')).toBe('north withdrawn');
  });

  test('takes no token that is unknown, expired, of another site or of another study', () => {
    invite('t1');
    expect(enrol('t0', 'k1')).toBe('unknown');
    expect(enrol('t1', 'k1', 1, 'south')).toBe('unknown');
    expect(enrol('t1', 'k1', 1, 'north', 'bones')).toBe('unknown');
    expect(enrol('t1', 'k1', 1000)).toBe('expired');
    expect(standing('k1')).toBe('unknown');
    expect(enrol('t1', 'k1', 999)).toBe('open');
  });

  test('an invite takes the place of the ones before it', () => {
    invite('t1');
    invite('t2');
    expect(enrol('t1', 'k1')).toBe('unknown');
    expect(enrol('t2', 'k1')).toBe('open');
  });

  test('a key is of one site of one study only', () => {
    invite('t1');
    enrol('t1', 'k1');
    expect(standing('k1', 'south')).toBe('unknown');
    expect(standing('k1', 'north', 'bones')).toBe('unknown');
    expect(standing('k1', 'nowhere')).toBe('unknown');
  });

  test('a second invite replaces the key, and revoking ends it and what is open', () => {
    invite('t1');
    enrol('t1', 'k1');
    invite('t2');
    enrol('t2', 'k2');
    expect([standing('k1'), standing('k2')]).toEqual(['replaced', 'enrolled']);
    invite('t3');
    expect(sites.revoke('lipids', 'north', 3)).toBe(true);
    expect([standing('k1'), standing('k2')]).toEqual(['replaced', 'revoked']);
    expect(enrol('t3', 'k3')).toBe('unknown');
    expect(enrol('t2', 'k2')).toBe('spent');
    expect(sites.revoke('lipids', 'north', 4)).toBe(false);
    expect(() => sites.revoke('lipids', 'east', 4)).toThrow(/study lipids has no site east/);
    expect(() => invite('t4', 1000, 'east')).toThrow(/study lipids has no site east/);
  });

  test('gives a key’s standing in every study that has a site of the name, and in no other', () => {
    sites.invite('bones', 'north', { hash: 't2', expiresMs: 1000 }, 0);
    invite('t1');
    enrol('t1', 'k1');
    enrol('t2', 'k1', 1, 'north', 'bones');
    expect([...sites.standings('north', 'k1')]).toEqual([
      ['lipids', 'enrolled'],
      ['bones', 'enrolled'],
    ]);
    sites.revoke('bones', 'north', 2);
    expect(Object.fromEntries(sites.standings('north', 'k1'))).toEqual({ lipids: 'enrolled', bones: 'revoked' });
    expect([...sites.standings('north', 'k2'), ...sites.standings('nowhere', 'k1')]).toEqual([]);
  });

  test('a site that withdraws has no key any more, stays so, and is not invited again', () => {
    invite('t1');
    enrol('t1', 'k1');
    invite('t2');
    expect(sites.withdraw('lipids', 'north', 'k2', 3)).toBe('unknown');
    expect([standing('k1'), sites.book.withdrawn('lipids')]).toEqual(['enrolled', []]);
    expect(sites.withdraw('lipids', 'north', 'k1', 3)).toBe('enrolled');
    expect(sites.withdraw('lipids', 'north', 'k1', 4)).toBe('withdrawn');
    expect([standing('k1'), sites.book.withdrawn('lipids')]).toEqual(['withdrawn', ['north']]);
    expect(enrol('t2', 'k2')).toBe('unknown');
    expect(() => invite('t3')).toThrow(/site north has withdrawn from study lipids/);
    expect(sites.revoke('lipids', 'north', 5)).toBe(false);
  });

  test('tells when another process has written', async () => {
    const other = await openSqliteRegistry(join(folder, 'registry.db'));
    const before = sites.version();
    expect(sites.version()).toBe(before);
    other.invite('lipids', 'north', { hash: 't9', expiresMs: 9 }, 0);
    expect(sites.version()).not.toBe(before);
    await other[Symbol.asyncDispose]();
  });

  test.skipIf(process.platform === 'win32')('is for its owner only', async () => {
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o077).toBe(0);
    expect(await readdir(folder)).toContain('registry.db-wal');
    await chmod(join(folder, 'registry.db'), 0o644);
    await expect(openSqliteRegistry(join(folder, 'registry.db'))).rejects.toThrow(/others than its owner may read it/);
  });
});
