// The registry in an embedded SQLite file (sqlite-file.ts; its tables are in registry-schema.ts).

import { DataError } from '../../base/index.ts';
import type {
  KeyHolder,
  KeyStanding,
  RegisteredInvite,
  RegisteredStudy,
  Registry,
  TokenStanding,
} from '../registry.ts';
import { migrations } from './registry-schema.ts';
import { SqliteBook } from './sqlite-book.ts';
import { SqliteFile } from './sqlite-file.ts';

/** Opens the registry in a file that only its owner can read; made if it is not there. Throws DataError `bad-file`. */
export async function openSqliteRegistry(path: string): Promise<Registry> {
  return new SqliteRegistry(await SqliteFile.open(path, migrations));
}

interface EndedKey {
  readonly ended: 'replaced' | 'revoked' | 'withdrawn' | null;
}

class SqliteRegistry implements Registry {
  readonly #file: SqliteFile;
  readonly book: SqliteBook;

  constructor(file: SqliteFile) {
    this.#file = file;
    this.book = new SqliteBook(file);
  }

  putStudy({ name, plan, sites, address, folder, epochs }: RegisteredStudy, nowMs: number): void {
    const file = this.#file;
    file.write(() => {
      const [before] = file.all<{ id: number; plan: string }>('SELECT id, plan FROM studies WHERE name = ?', name);
      if (before && before.plan !== plan) this.#beginAnew(before.id);
      file.run(
        `INSERT INTO studies (name, plan, address, folder, epochs, created_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET plan = excluded.plan, address = excluded.address, folder = excluded.folder, epochs = excluded.epochs`,
        name,
        plan,
        address,
        folder,
        epochs,
        nowMs,
      );
      sites.forEach((site, place) =>
        file.run(
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
    const file = this.#file;
    return file.read(() =>
      file
        .all<Omit<RegisteredStudy, 'sites'> & { readonly id: number }>(
          'SELECT id, name, plan, address, folder, epochs FROM studies ORDER BY name',
        )
        .map(({ id, name, plan, address, folder, epochs }) => {
          const sites = file.all<{ name: string }>('SELECT name FROM sites WHERE study = ? ORDER BY place', id);
          return { name, plan, address, folder, epochs, sites: sites.map((site) => site.name) };
        }),
    );
  }

  invite(study: string, site: string, token: { hash: string; expiresMs: number }, nowMs: number): void {
    const file = this.#file;
    file.write(() => {
      const { id, withdrawn } = this.#site(study, site);
      if (withdrawn)
        throw new DataError('missing-data', `site ${site} has withdrawn from study ${study}: it is not invited again`);
      file.run('DELETE FROM tokens WHERE site = ? AND key IS NULL', id);
      file.run(
        'INSERT INTO tokens (hash, site, created_ms, expires_ms) VALUES (?, ?, ?, ?)',
        token.hash,
        id,
        nowMs,
        token.expiresMs,
      );
    });
  }

  enrol(study: string, site: string, tokenHash: string, key: string, nowMs: number): TokenStanding {
    const file = this.#file;
    return file.write(() => {
      const [token] = file.all<{ site: number; expires_ms: number; key: string | null }>(
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
      file.run('INSERT INTO keys (site, key, enrolled_ms) VALUES (?, ?, ?)', token.site, key, nowMs);
      file.run('UPDATE tokens SET key = ? WHERE hash = ?', key, tokenHash);
      return 'open';
    });
  }

  revoke(study: string, site: string, nowMs: number): boolean {
    return this.#file.write(() => {
      const { id } = this.#site(study, site);
      return this.#end(id, 'revoked', nowMs) > 0;
    });
  }

  withdraw(study: string, site: string, key: string, nowMs: number): KeyStanding {
    return this.#file.write(() => {
      const { id } = this.#site(study, site);
      const standing = this.#standingOf(id, key);
      if (standing === 'enrolled') {
        this.#end(id, 'withdrawn', nowMs);
        this.#file.run('UPDATE sites SET withdrawn_ms = ? WHERE id = ?', nowMs, id);
      }
      return standing;
    });
  }

  standings(site: string, key: string): ReadonlyMap<string, Exclude<KeyStanding, 'unknown'>> {
    const file = this.#file;
    return file.read(() => {
      const standings = new Map<string, Exclude<KeyStanding, 'unknown'>>();
      const named = file.all<{ id: number; study: string }>(
        'SELECT sites.id, studies.name AS study FROM sites JOIN studies ON studies.id = sites.study WHERE sites.name = ?',
        site,
      );
      for (const { id, study } of named) {
        const standing = this.#standingOf(id, key);
        if (standing !== 'unknown') standings.set(study, standing);
      }
      return standings;
    });
  }

  holder(key: string): KeyHolder | undefined {
    const file = this.#file;
    const [last] = file.read(() =>
      file.all<EndedKey & { readonly site: string }>(
        `SELECT sites.name AS site, ended FROM keys JOIN sites ON sites.id = keys.site
         WHERE key = ? ORDER BY ended IS NULL DESC, keys.id DESC LIMIT 1`,
        key,
      ),
    );
    return last && { site: last.site, standing: last.ended ?? 'enrolled' };
  }

  invites(nowMs: number): readonly RegisteredInvite[] {
    const file = this.#file;
    return file.read(() =>
      file
        .all<{ site: string; hash: string; expires_ms: number; spent: number }>(
          `SELECT sites.name AS site, hash, expires_ms, key IS NOT NULL AS spent FROM tokens JOIN sites ON sites.id = tokens.site`,
        )
        .map(({ site, hash, expires_ms, spent }) => ({
          site,
          tokenHash: hash,
          standing: spent ? 'spent' : nowMs >= expires_ms ? 'expired' : 'open',
        })),
    );
  }

  version(): number {
    return this.#file.read(() => this.#file.number('PRAGMA data_version'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file.close();
  }

  /** Another plan is another training: what was noted of the one before goes; sites, keys and invites stay. */
  #beginAnew(study: number): void {
    for (const table of ['commits', 'metrics']) this.#file.run(`DELETE FROM ${table} WHERE study = ?`, study);
    this.#file.run(
      "UPDATE studies SET state = 'waiting', reason = '', wish = 'run', begun_ms = NULL, ended_ms = NULL WHERE id = ?",
      study,
    );
  }

  #standingOf(site: number, key: string): KeyStanding {
    const [last] = this.#file.all<EndedKey>(
      'SELECT ended FROM keys WHERE site = ? AND key = ? ORDER BY id DESC LIMIT 1',
      site,
      key,
    );
    return last ? (last.ended ?? 'enrolled') : 'unknown';
  }

  /** Ends a site's key and its open invites; gives how many there were. */
  #end(site: number, how: 'revoked' | 'withdrawn', nowMs: number): number {
    const keys = this.#endKeys(site, how, nowMs);
    return keys + this.#file.run('DELETE FROM tokens WHERE site = ? AND key IS NULL', site);
  }

  #endKeys(site: number, how: 'replaced' | 'revoked' | 'withdrawn', nowMs: number): number {
    return this.#file.run('UPDATE keys SET ended = ?, ended_ms = ? WHERE site = ? AND ended IS NULL', how, nowMs, site);
  }

  #site(study: string, site: string): { readonly id: number; readonly withdrawn: boolean } {
    const [found] = this.#file.all<{ id: number; withdrawn_ms: number | null }>(
      'SELECT sites.id, withdrawn_ms FROM sites JOIN studies ON studies.id = sites.study WHERE studies.name = ? AND sites.name = ?',
      study,
      site,
    );
    if (!found) throw new DataError('missing-data', `study ${study} has no site ${site}`);
    return { id: found.id, withdrawn: found.withdrawn_ms !== null };
  }
}
