// The registry in an embedded SQLite file, in write-ahead mode: commands write beside a server that reads.

import { closeSync, openSync } from 'node:fs';
import Database from 'libsql';
import { DataError, SeptumError } from '../../base/index.ts';
import type { KeyStanding, RegisteredStudy, Registry, TokenStanding } from '../registry.ts';
import { fileError } from './file-error.ts';
import { requirePrivate } from './key-file.ts';

/** How long a write waits for another process's. */
const busyMs = 5000;
const SCHEMA_VERSION = 1;
const schema = `
CREATE TABLE studies (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL,
  address TEXT NOT NULL
) STRICT;
CREATE TABLE sites (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies,
  place INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (study, name)
) STRICT;
CREATE TABLE tokens (
  hash TEXT PRIMARY KEY,
  site INTEGER NOT NULL REFERENCES sites,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  -- The key that it was spent for.
  key TEXT
) STRICT;
CREATE TABLE keys (
  id INTEGER PRIMARY KEY,
  site INTEGER NOT NULL REFERENCES sites,
  key TEXT NOT NULL,
  enrolled_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  ended TEXT CHECK (ended IN ('replaced', 'revoked'))
) STRICT;
CREATE INDEX keys_of_site ON keys (site, key);
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Opens the registry in a file that only its owner can read; made if it is not there. Throws DataError `bad-file`. */
export async function openSqliteRegistry(path: string): Promise<Registry> {
  // SQLite gives what it adds beside the file the file's own permissions.
  try {
    closeSync(openSync(path, 'a', 0o600));
  } catch (error) {
    throw fileError(path, 'open', error);
  }
  await requirePrivate(path);
  return new SqliteRegistry(path);
}

class SqliteRegistry implements Registry {
  readonly #path: string;
  readonly #db: Database.Database;

  constructor(path: string) {
    this.#path = path;
    this.#db = this.#do('open', () => new Database(path));
    this.#do('read', () => {
      this.#db.exec(`PRAGMA busy_timeout = ${busyMs}; PRAGMA foreign_keys = ON`);
      this.#db.pragma('journal_mode = WAL');
      this.#db.pragma('synchronous = FULL');
    });
    this.#write(() => {
      const version = this.#number('PRAGMA user_version');
      if (version === 0) this.#db.exec(schema);
      else if (version !== SCHEMA_VERSION)
        throw new DataError('bad-file', `${path}: a registry of version ${version}, expected ${SCHEMA_VERSION}`);
    });
  }

  putStudy({ name, plan, sites, address }: RegisteredStudy): void {
    this.#write(() => {
      this.#run(
        `INSERT INTO studies (name, plan, address) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET plan = excluded.plan, address = excluded.address`,
        name,
        plan,
        address,
      );
      sites.forEach((site, place) =>
        this.#run(
          `INSERT INTO sites (study, place, name) SELECT id, ?, ? FROM studies WHERE name = ?
           ON CONFLICT (study, name) DO UPDATE SET place = excluded.place`,
          place,
          site,
          name,
        ),
      );
    });
  }

  studies(): readonly RegisteredStudy[] {
    return this.#do('read', () =>
      this.#all<{ id: number; name: string; plan: string; address: string }>(
        'SELECT id, name, plan, address FROM studies ORDER BY name',
      ).map(({ id, name, plan, address }) => {
        const sites = this.#all<{ name: string }>('SELECT name FROM sites WHERE study = ? ORDER BY place', id);
        return { name, plan, address, sites: sites.map((site) => site.name) };
      }),
    );
  }

  invite(study: string, site: string, token: { hash: string; expiresMs: number }, nowMs: number): void {
    this.#write(() => {
      const id = this.#siteId(study, site);
      this.#run('DELETE FROM tokens WHERE site = ? AND key IS NULL', id);
      this.#run(
        'INSERT INTO tokens (hash, site, created_ms, expires_ms) VALUES (?, ?, ?, ?)',
        token.hash,
        id,
        nowMs,
        token.expiresMs,
      );
    });
  }

  enrol(study: string, site: string, tokenHash: string, key: string, nowMs: number): TokenStanding {
    return this.#write(() => {
      const [token] = this.#all<{ site: number; expires_ms: number; key: string | null }>(
        `SELECT tokens.site, expires_ms, key FROM tokens JOIN sites ON sites.id = tokens.site JOIN studies ON studies.id = sites.study
         WHERE hash = ? AND sites.name = ? AND studies.name = ?`,
        tokenHash,
        site,
        study,
      );
      if (!token) return 'unknown';
      if (token.key !== null) {
        const again = token.key === key && this.#standingOf(token.site, key) === 'enrolled';
        return again ? 'open' : 'spent';
      }
      if (nowMs >= token.expires_ms) return 'expired';
      this.#endKeys(token.site, 'replaced', nowMs);
      this.#run('INSERT INTO keys (site, key, enrolled_ms) VALUES (?, ?, ?)', token.site, key, nowMs);
      this.#run('UPDATE tokens SET key = ? WHERE hash = ?', key, tokenHash);
      return 'open';
    });
  }

  revoke(study: string, site: string, nowMs: number): boolean {
    return this.#write(() => {
      const id = this.#siteId(study, site);
      const keys = this.#endKeys(id, 'revoked', nowMs);
      const tokens = this.#run('DELETE FROM tokens WHERE site = ? AND key IS NULL', id);
      return keys + tokens > 0;
    });
  }

  standing(study: string, site: string, key: string): KeyStanding {
    return this.#do('read', () => {
      const [found] = this.#all<{ id: number }>(
        'SELECT sites.id FROM sites JOIN studies ON studies.id = sites.study WHERE studies.name = ? AND sites.name = ?',
        study,
        site,
      );
      return found ? this.#standingOf(found.id, key) : 'unknown';
    });
  }

  version(): number {
    return this.#do('read', () => this.#number('PRAGMA data_version'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#db.close();
  }

  #standingOf(site: number, key: string): KeyStanding {
    const [last] = this.#all<{ ended: 'replaced' | 'revoked' | null }>(
      'SELECT ended FROM keys WHERE site = ? AND key = ? ORDER BY id DESC LIMIT 1',
      site,
      key,
    );
    return last ? (last.ended ?? 'enrolled') : 'unknown';
  }

  #endKeys(site: number, how: 'replaced' | 'revoked', nowMs: number): number {
    return this.#run('UPDATE keys SET ended = ?, ended_ms = ? WHERE site = ? AND ended IS NULL', how, nowMs, site);
  }

  #siteId(study: string, site: string): number {
    const [found] = this.#all<{ id: number }>(
      'SELECT sites.id FROM sites JOIN studies ON studies.id = sites.study WHERE studies.name = ? AND sites.name = ?',
      study,
      site,
    );
    if (!found) throw new DataError('missing-data', `study ${study} has no site ${site}`);
    return found.id;
  }

  /** A transaction that has the right to write from its start, so that no other comes between its reads and writes. */
  #write<T>(work: () => T): T {
    return this.#do('write', () => this.#db.transaction(work).immediate());
  }

  #run(sql: string, ...values: readonly (string | number)[]): number {
    return this.#db.prepare(sql).run(...values).changes;
  }

  #all<T>(sql: string, ...values: readonly (string | number)[]): T[] {
    return this.#db.prepare(sql).all(...values) as T[];
  }

  #number(sql: string): number {
    return this.#db.prepare(sql).raw().all().flat()[0] as number;
  }

  #do<T>(doing: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof SeptumError ? error : fileError(this.#path, doing, error);
    }
  }
}
