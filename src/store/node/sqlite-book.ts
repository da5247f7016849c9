// How a server's studies go, in the registry's file.

import { DataError } from '../../base/index.ts';
import type { CommitNote, FiguresNote, StudyBook, StudyState, StudyStatus, StudyWish } from '../study-book.ts';
import type { SqliteFile } from './sqlite-file.ts';

/** Commits that are kept in mind: there are two on disk. */
const commitsKept = 16;

interface StudyRow {
  readonly id: number;
  readonly name: string;
  readonly plan: string;
  readonly folder: string;
  readonly state: StudyState;
  readonly reason: string;
  readonly wish: StudyWish;
  readonly created_ms: number;
  readonly begun_ms: number | null;
  readonly ended_ms: number | null;
  readonly epochs: number;
}

interface CommitRow {
  readonly step: number;
  readonly at_ms: number;
  readonly whole: number;
}

export class SqliteBook implements StudyBook {
  readonly #file: SqliteFile;

  constructor(file: SqliteFile) {
    this.#file = file;
  }

  statuses(): readonly StudyStatus[] {
    const file = this.#file;
    return file.read(() =>
      file.all<StudyRow>('SELECT * FROM studies ORDER BY name').map((row) => {
        const { id, name, plan, folder, state, reason, wish, epochs } = row;
        const sites = file.all<{ name: string; connected: number; enrolled: number; withdrawn: number }>(
          `SELECT name, connected, withdrawn_ms IS NOT NULL AS withdrawn,
             EXISTS (SELECT 1 FROM keys WHERE site = sites.id AND ended IS NULL) AS enrolled
           FROM sites WHERE study = ? ORDER BY place`,
          id,
        );
        const [last] = file.all<{ epoch: number | null }>(
          "SELECT max(epoch) AS epoch FROM metrics WHERE study = ? AND part = 'val'",
          id,
        );
        return {
          name,
          plan,
          folder,
          state,
          reason,
          wish,
          createdMs: row.created_ms,
          begunMs: row.begun_ms,
          endedMs: row.ended_ms,
          epoch: (last?.epoch ?? -1) + 1,
          epochs,
          sites: sites.map((site) => ({
            name: site.name,
            connected: site.connected === 1,
            enrolled: site.enrolled === 1,
            withdrawn: site.withdrawn === 1,
          })),
          commit: this.#commits(id).at(-1) ?? null,
        };
      }),
    );
  }

  state(study: string, state: StudyState, nowMs: number, reason = ''): void {
    const begins = state === 'running' ? nowMs : null;
    const ends = state === 'stopped' || state === 'done' || state === 'failed' ? nowMs : null;
    this.#note(study, (id) =>
      this.#file.run(
        'UPDATE studies SET state = ?, reason = ?, begun_ms = coalesce(begun_ms, ?), ended_ms = ? WHERE id = ?',
        state,
        reason,
        begins,
        ends,
        id,
      ),
    );
  }

  connected(study: string, connected: boolean, site?: string): void {
    this.#note(study, (id) =>
      this.#file.run(
        'UPDATE sites SET connected = ?1 WHERE study = ?2 AND (?3 IS NULL OR name = ?3)',
        connected ? 1 : 0,
        id,
        site ?? null,
      ),
    );
  }

  commit(study: string, step: number, whole: boolean, nowMs: number): void {
    this.#note(study, (id) => {
      this.#file.run(
        `INSERT INTO commits (study, step, at_ms, whole) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, whole = excluded.whole`,
        id,
        step,
        nowMs,
        whole ? 1 : 0,
      );
      this.#file.run(
        'DELETE FROM commits WHERE study = ?1 AND step < (SELECT min(step) FROM (SELECT step FROM commits WHERE study = ?1 ORDER BY step DESC LIMIT ?2))',
        id,
        commitsKept,
      );
    });
  }

  whole(study: string, step: number): void {
    this.#note(study, (id) =>
      this.#file.run('UPDATE commits SET whole = 1 WHERE study = ? AND step <= ? AND whole = 0', id, step),
    );
  }

  commits(study: string): readonly CommitNote[] {
    return this.#file.read(() => this.#commits(this.#id(study)));
  }

  figures(study: string, { epoch, part, trainLoss, best, figures }: FiguresNote, nowMs: number): void {
    this.#note(study, (id) =>
      this.#file.run(
        'INSERT OR REPLACE INTO metrics (study, epoch, part, at_ms, train_loss, best, figures) VALUES (?, ?, ?, ?, ?, ?, ?)',
        id,
        epoch,
        part,
        nowMs,
        // A loss that is no number any more is none that could be kept.
        trainLoss !== null && Number.isFinite(trainLoss) ? trainLoss : null,
        best ? 1 : 0,
        JSON.stringify(figures),
      ),
    );
  }

  figuresOf(study: string): readonly (FiguresNote & { readonly atMs: number })[] {
    return this.#file.read(() =>
      this.#file
        .all<{
          epoch: number;
          part: 'val' | 'test';
          at_ms: number;
          train_loss: number | null;
          best: number;
          figures: string;
        }>(
          "SELECT epoch, part, at_ms, train_loss, best, figures FROM metrics WHERE study = ? ORDER BY part = 'test', epoch",
          this.#id(study),
        )
        .map(({ epoch, part, at_ms, train_loss, best, figures }) => ({
          epoch,
          part,
          atMs: at_ms,
          trainLoss: train_loss,
          best: best === 1,
          figures: JSON.parse(figures) as unknown,
        })),
    );
  }

  wentBack(study: string, step: number, epochs: number): void {
    this.#note(study, (id) => {
      this.#file.run('DELETE FROM commits WHERE study = ? AND step > ?', id, step);
      this.#file.run("DELETE FROM metrics WHERE study = ? AND (epoch >= ? OR part = 'test')", id, epochs);
    });
  }

  want(study: string, wish: StudyWish): void {
    this.#file.write(() => {
      const id = this.#id(study);
      if (wish !== 'stop' && this.#wishOf(id) === 'stop')
        throw new DataError('missing-data', `study ${study} was to stop already: it does not go on`);
      this.#file.run('UPDATE studies SET wish = ? WHERE id = ?', wish, id);
    });
  }

  wish(study: string): StudyWish {
    return this.#file.read(() => this.#wishOf(this.#id(study)));
  }

  withdrawn(study: string): readonly string[] {
    return this.#file.read(() =>
      this.#file
        .all<{
          name: string;
        }>('SELECT name FROM sites WHERE study = ? AND withdrawn_ms IS NOT NULL ORDER BY place', this.#id(study))
        .map(({ name }) => name),
    );
  }

  #wishOf(id: number): StudyWish {
    const [row] = this.#file.all<{ wish: StudyWish }>('SELECT wish FROM studies WHERE id = ?', id);
    return row?.wish ?? 'run';
  }

  #commits(id: number): CommitNote[] {
    return this.#file
      .all<CommitRow>('SELECT step, at_ms, whole FROM commits WHERE study = ? ORDER BY step', id)
      .map(({ step, at_ms, whole }) => ({ step, atMs: at_ms, whole: whole === 1 }));
  }

  #note(study: string, work: (id: number) => unknown): void {
    this.#file.note(() => void work(this.#id(study)));
  }

  #id(study: string): number {
    const [found] = this.#file.all<{ id: number }>('SELECT id FROM studies WHERE name = ?', study);
    if (!found) throw new DataError('missing-data', `the registry has no study ${study}`);
    return found.id;
  }
}
