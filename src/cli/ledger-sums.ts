// What a ledger tells, added up in bounded memory: messages by day and kind, the last of the other events in words.

import type { RecordedEntry } from '../store/node/index.ts';

/** Messages of one kind on one day. `again` of them were sent again; records and bytes are of all. */
export interface KindSums {
  readonly kind: string;
  readonly messages: number;
  readonly records: number;
  readonly bytes: number;
  readonly again: number;
}

export interface Sums {
  /** By day (UTC) and kind, in the order in which they first came. */
  readonly days: readonly { readonly day: string; readonly kinds: readonly KindSums[] }[];
  /** Approvals, sessions, refusals, overrides and openings after a crash: the last of them. */
  readonly events: readonly { readonly at: string; readonly what: string; readonly text: string }[];
  /** What the server asked and was refused, by the error's code. */
  readonly refusals: readonly { readonly code: string; readonly times: number }[];
}

const eventsMost = 50;

export class LedgerSums {
  readonly #days = new Map<string, Map<string, KindSums>>();
  readonly #refusals = new Map<string, number>();
  #events: Sums['events'] = [];

  add(entry: RecordedEntry): void {
    if (entry.what === 'sent') {
      this.#sent(entry);
      return;
    }
    const { at, what } = entry;
    if (what === 'refused') {
      const code = String(entry['code']);
      this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
    }
    const text = eventInWords(entry);
    if (text !== undefined) this.#events = [...this.#events.slice(1 - eventsMost), { at, what, text }];
  }

  toJSON(): Sums {
    return {
      days: [...this.#days].map(([day, kinds]) => ({ day, kinds: [...kinds.values()] })),
      events: this.#events,
      refusals: [...this.#refusals].map(([code, times]) => ({ code, times })),
    };
  }

  #sent(entry: RecordedEntry): void {
    const day = entry.at.slice(0, 10);
    const kinds = this.#days.get(day) ?? new Map<string, KindSums>();
    this.#days.set(day, kinds);
    const kind = String(entry['kind']);
    const before = kinds.get(kind) ?? { kind, messages: 0, records: 0, bytes: 0, again: 0 };
    kinds.set(kind, {
      kind,
      messages: before.messages + 1,
      records: before.records + amount(entry['records']),
      bytes: before.bytes + amount(entry['bytes']),
      again: before.again + (entry['again'] === true ? 1 : 0),
    });
  }
}

function amount(value: unknown): number {
  return typeof value === 'number' && value >= 0 ? value : 0;
}

/** Undefined for what is of no interest but to a check. */
function eventInWords(entry: RecordedEntry): string | undefined {
  const field = (name: string): string => {
    const value = entry[name];
    return typeof value === 'string' ? printable(value) : '?';
  };
  switch (entry.what) {
    case 'approved':
      return `the plan ${field('plan')} of study ${field('study')} was approved (${field('how')})`;
    case 'session-opened':
      return `site ${field('site')} began a session in study ${field('study')} with ${field('server')}, plan ${field('plan')}`;
    case 'session-closed':
      return `the session in study ${field('study')} ended: ${field('reason')}`;
    case 'withdrawn':
      return `site ${field('site')} has withdrawn from study ${field('study')}`;
    case 'refused':
      return `refused what the server sent: ${field('code')}: ${field('text')}`;
    case 'override':
      return `the operator went on against a warning of ${field('of')}: ${field('text')}`;
    case 'opened': {
      const [unsigned, broken] = [amount(entry['unsigned']), amount(entry['brokenBytes'])];
      if (unsigned === 0 && broken === 0) return undefined;
      return `the ledger was opened after a process had not ended in order: ${unsigned} entries were not signed, ${broken} bytes were no entry`;
    }
    default:
      return undefined;
  }
}

/** A part of the text may be the server's: nothing in it moves a terminal's cursor. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?').slice(0, 300);
}
