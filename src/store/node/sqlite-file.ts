// An embedded SQLite file in write-ahead mode, for several processes: commands write beside a server that reads.

import { closeSync, openSync } from 'node:fs';
import Database from 'libsql';
import { DataError, SeptumError } from '../../base/index.ts';
import { fileError } from './file-error.ts';
import { requirePrivate } from './key-file.ts';

/** How long a write waits for another process's. */
const busyMs = 5000;

type Value = string | number | null;

/** Every method throws DataError `bad-file` when the file cannot be read or written. */
export class SqliteFile {
  readonly #path: string;
  readonly #db: Database.Database;

  /** Opens a file that only its owner can read, made if it is not there, and brings it to the newest version. `migrations[n]` leads from version n to the next. */
  static async open(path: string, migrations: readonly string[]): Promise<SqliteFile> {
    // SQLite gives what it adds beside the file the file's own permissions.
    try {
      closeSync(openSync(path, 'a', 0o600));
    } catch (error) {
      throw fileError(path, 'open', error);
    }
    await requirePrivate(path);
    return new SqliteFile(path, migrations);
  }

  private constructor(path: string, migrations: readonly string[]) {
    this.#path = path;
    this.#db = this.#do('open', () => new Database(path));
    this.#do('read', () => {
      this.#db.exec(`PRAGMA busy_timeout = ${busyMs}; PRAGMA foreign_keys = ON`);
      this.#db.pragma('journal_mode = WAL');
      this.#db.pragma('synchronous = FULL');
    });
    this.write(() => {
      const version = this.number('PRAGMA user_version');
      if (version > migrations.length)
        throw new DataError(
          'bad-file',
          `${path}: a registry of version ${version}, expected ${migrations.length}: a newer Septum has written it`,
        );
      for (const migration of migrations.slice(version)) this.#db.exec(migration);
      if (version < migrations.length) this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
    });
  }

  /** A transaction that has the right to write from its start, so that no other comes between its reads and writes. */
  write<T>(work: () => T): T {
    return this.#do('write', () => this.#db.transaction(work).immediate());
  }

  /** The same for what may be lost with the machine's power: it does not wait for the disk. */
  note<T>(work: () => T): T {
    this.#do('write', () => this.#db.pragma('synchronous = NORMAL'));
    try {
      return this.write(work);
    } finally {
      this.#do('write', () => this.#db.pragma('synchronous = FULL'));
    }
  }

  read<T>(work: () => T): T {
    return this.#do('read', work);
  }

  /** One statement within a transaction; gives how many rows it changed. */
  run(sql: string, ...values: readonly Value[]): number {
    return this.#db.prepare(sql).run(...values).changes;
  }

  all<T>(sql: string, ...values: readonly Value[]): T[] {
    return this.#db.prepare(sql).all(...values) as T[];
  }

  number(sql: string): number {
    return this.#db.prepare(sql).raw().all().flat()[0] as number;
  }

  close(): void {
    this.#db.close();
  }

  #do<T>(doing: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof SeptumError ? error : fileError(this.#path, doing, error);
    }
  }
}
