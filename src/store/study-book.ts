// How a server's studies go, noted as it happens, for whoever asks beside the server that runs; and what their operator wants of them,
// which the server reads. What is noted here is for people: a study goes on from its commits and its log, whatever stands here.

/** Waiting for its server or its sites, in training, or at one of its ends. One that failed may be begun again. */
export type StudyState = 'waiting' | 'running' | 'paused' | 'stopped' | 'done' | 'failed';

/** Whether a study in this state is not begun again. */
export function isOver(state: StudyState): boolean {
  return state === 'stopped' || state === 'done';
}

/** What a study's operator wants of it. The last wish counts; a study that was to stop is not wished on again. */
export type StudyWish = 'run' | 'pause' | 'stop';

/** A site as the book has it. */
export interface SiteStatus {
  readonly name: string;
  /** Whether it was connected when the server last noted it. */
  readonly connected: boolean;
  /** Whether it has a key that serves. */
  readonly enrolled: boolean;
  readonly withdrawn: boolean;
}

/** A commit as the book has it. */
export interface CommitNote {
  /** Server steps before it. */
  readonly step: number;
  readonly atMs: number;
  /** Whether every site is known to have its half. */
  readonly whole: boolean;
}

/** Figures of a part: of validation after an epoch, or of the test part with the epoch that was selected. */
export interface FiguresNote {
  readonly epoch: number;
  readonly part: 'val' | 'test';
  /** Null where it is not known, and for the test part. */
  readonly trainLoss: number | null;
  readonly best: boolean;
  /** The figures overall and by site, as JSON; null without records. */
  readonly figures: unknown;
}

export interface StudyStatus {
  readonly name: string;
  readonly plan: string;
  readonly folder: string;
  readonly state: StudyState;
  /** Why it failed; else ''. */
  readonly reason: string;
  readonly wish: StudyWish;
  readonly createdMs: number;
  /** When its training began first. */
  readonly begunMs: number | null;
  readonly endedMs: number | null;
  /** Epochs that are done, of so many. */
  readonly epoch: number;
  readonly epochs: number;
  readonly sites: readonly SiteStatus[];
  /** The newest commit. */
  readonly commit: CommitNote | null;
}

/** Every method throws DataError `bad-file` as the registry's do, and `missing-data` for a study that is not there. */
export interface StudyBook {
  /** All studies, by name. */
  statuses(): readonly StudyStatus[];
  /** Notes a study's state, and why it failed. */
  state(study: string, state: StudyState, nowMs: number, reason?: string): void;
  /** Notes whether a site is connected; without a site, that none of the study's is. */
  connected(study: string, connected: boolean, site?: string): void;
  /** Notes a commit whose server's half is on disk. The last few are kept. */
  commit(study: string, step: number, whole: boolean, nowMs: number): void;
  /** Notes that every site has its half of the commits up to this step. */
  whole(study: string, step: number): void;
  /** The commits that were noted, in order. */
  commits(study: string): readonly CommitNote[];
  /** Notes figures, in place of those of the same epoch and part. */
  figures(study: string, note: FiguresNote, nowMs: number): void;
  /** All figures that were noted, in order. */
  figuresOf(study: string): readonly (FiguresNote & { readonly atMs: number })[];
  /** The study goes on after so many steps and epochs: what was noted beyond is not there any more. */
  wentBack(study: string, step: number, epochs: number): void;
  /** What the operator wants from here on. Throws DataError `missing-data` when it was to stop already and this is another wish. */
  want(study: string, wish: StudyWish): void;
  wish(study: string): StudyWish;
  /** The sites that have withdrawn. */
  withdrawn(study: string): readonly string[];
}
