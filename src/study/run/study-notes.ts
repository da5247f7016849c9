// How a study goes, entered into the registry's book as the server tells of it. A study does not end because the book cannot be written:
// that is told, once.

import { DataError, messageOf } from '../../base/index.ts';
import type { Plan } from '../../protocol/index.ts';
import type { PartMetrics, ServerEvent, ServerResult } from '../../server/index.ts';
import type { StudyBook, StudyState } from '../../store/index.ts';

export class StudyNotes {
  readonly #book: StudyBook;
  readonly #plan: Plan;
  readonly #onTrouble: (what: string) => void;
  #inTrouble = false;

  constructor(book: StudyBook, plan: Plan, onTrouble: (what: string) => void) {
    this.#book = book;
    this.#plan = plan;
    this.#onTrouble = onTrouble;
    this.#note((study, nowMs) => {
      book.connected(study, false);
      book.state(study, 'waiting', nowMs);
    });
  }

  take(event: ServerEvent): void {
    const book = this.#book;
    switch (event.kind) {
      case 'site':
        this.#note((study) => book.connected(study, event.state === 'connected', event.site));
        return;
      case 'counts':
        this.#state('running');
        return;
      case 'paused':
        this.#state('paused');
        return;
      case 'going-on':
        this.#state('waiting');
        return;
      case 'commit':
        this.#note((study, nowMs) => {
          // Whoever has come to this step has written what the commits before it needed.
          book.whole(study, event.step - 1);
          book.commit(study, event.step, this.#plan.choices.when === 'detached', nowMs);
        });
        return;
      case 'epoch': {
        const { epoch, trainLoss, best, val } = event.record;
        this.#note((study, nowMs) => {
          book.whole(study, Number.MAX_SAFE_INTEGER);
          book.figures(study, { epoch, part: 'val', trainLoss, best, figures: figuresOf(val) }, nowMs);
        });
        return;
      }
      case 'resumed':
        this.#note((study, nowMs) => {
          book.wentBack(study, event.step, event.history.length);
          const noted = new Set(book.figuresOf(study).map(({ epoch }) => epoch));
          for (const { epoch, trainLoss, best, val } of event.history)
            if (!noted.has(epoch))
              book.figures(study, { epoch, part: 'val', trainLoss, best, figures: figuresOf(val) }, nowMs);
        });
        return;
      default:
    }
  }

  /** The study is over: done, or stopped before its last epoch. */
  finished({ test, bestEpoch }: ServerResult, state: 'done' | 'stopped'): void {
    const book = this.#book;
    this.#note((study, nowMs) => {
      book.whole(study, Number.MAX_SAFE_INTEGER);
      const about = { epoch: bestEpoch, part: 'test', trainLoss: null, best: true } as const;
      book.figures(study, { ...about, figures: figuresOf(test) }, nowMs);
      book.connected(study, false);
    });
    this.#state(state);
  }

  /** The study has ended, and may be begun again; without an error its server was ended by its operator. */
  ended(error: unknown): void {
    this.#note((study) => this.#book.connected(study, false));
    if (error === undefined) this.#state('waiting');
    // What is wrong with data names records, which are for the operator's eyes only.
    else this.#state('failed', error instanceof DataError ? 'problems with the data' : messageOf(error));
  }

  #state(state: StudyState, reason = ''): void {
    this.#note((study, nowMs) => this.#book.state(study, state, nowMs, reason.slice(0, reasonLengthMost)));
  }

  #note(write: (study: string, nowMs: number) => void): void {
    try {
      write(this.#plan.study, Date.now());
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (!this.#inTrouble) this.#onTrouble(`the registry does not tell how the study goes: ${error.message}`);
      this.#inTrouble = true;
    }
  }
}

const reasonLengthMost = 1000;

/** Overall and by site. */
function figuresOf(part: PartMetrics | null): unknown {
  return part && { overall: part.overall, sites: part.sites };
}
