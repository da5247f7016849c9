// Decides when a bad frame goes in place of an honest one, and which, until every field of every kind of message has had its share; and
// keeps the books.

import { codeOf } from '../../src/base/index.ts';
import { decodeMessage, message, type Message, type MessageKind } from '../../src/protocol/index.ts';
import type { Attacker, Injection } from './hostile-proxy.ts';
import { Dice, type Field, fields, frameOf, mutate, tensorFields, wrongBytes } from './mutations.ts';
import { count, type Tally } from './party.ts';

/** Kinds that pass seldom: each is a chance to take. The others are chosen at random. */
const seldom: ReadonlySet<MessageKind> = new Set([
  'hello',
  'welcome',
  'census',
  'pooled',
  'weights',
  'acknowledge',
  'report',
  'verdict',
  'turn',
  'finish',
]);
/** What a peer may say that tells another to go, where none is called for. */
const stray = message('refuse', { text: 'out-of-order: go away', scalars: [1] });

export class Injector implements Attacker {
  readonly #dice: Dice;
  readonly #share: number;
  readonly #wanted: number;
  /** Injections by kind and field. */
  readonly hits: Record<string, Tally> = {};
  /** Refusals by direction and code. */
  readonly refusals: Record<'up' | 'down', Tally> = { up: {}, down: {} };
  injected = 0;
  pastDecoder = 0;

  /** At least `wanted` frames in all, and `share` for each field of each kind in `kinds`. */
  constructor(seed: number, wanted: number, share: number, kinds: Readonly<Record<string, readonly Field[]>>) {
    this.#dice = new Dice(seed, 'injections');
    this.#wanted = wanted;
    this.#share = share;
    for (const [kind, applicable] of Object.entries(kinds))
      this.hits[kind] = Object.fromEntries(applicable.map((field) => [field, 0]));
  }

  get done(): boolean {
    return this.injected >= this.#wanted && this.missing.length === 0;
  }

  /** Fields that have not had their share. */
  get missing(): string[] {
    return Object.entries(this.hits).flatMap(([kind, tally]) =>
      Object.entries(tally)
        .filter(([, times]) => times < this.#share)
        .map(([field]) => `${kind}.${field}`),
    );
  }

  choose(direction: 'up' | 'down', honest: Message, without: readonly Field[] = []): Injection | undefined {
    const dice = this.#dice;
    if (!seldom.has(honest.kind) && dice.uniform() < 0.7) return undefined;
    const base = dice.uniform() < 0.1 ? stray : honest;
    const open = this.#poorest(base.kind, base === honest ? without : []);
    // Kinds that have had their share give way to the others, but not wholly.
    if (open === undefined && (this.injected >= this.#wanted || dice.uniform() < 0.95)) return undefined;
    if (dice.uniform() < 0.12) return this.#injection(direction, base.kind, 'bytes', wrongBytes(base, dice));
    const field =
      open ?? dice.pick(Object.keys(this.hits[base.kind]!).filter((name) => !without.includes(name as Field)));
    return this.#injection(direction, base.kind, field as Field, frameOf(mutate(base, field as Field, dice)));
  }

  refused({ direction }: Injection, code: string): void {
    count(this.refusals[direction], code);
  }

  withdrawn({ kind, field, pastDecoder }: Injection): void {
    this.injected -= 1;
    if (pastDecoder) this.pastDecoder -= 1;
    if (field !== 'bytes') count(this.hits[kind]!, field, -1);
  }

  #injection(direction: 'up' | 'down', kind: MessageKind, field: Field | 'bytes', frame: Uint8Array<ArrayBuffer>) {
    const pastDecoder = decodes(frame);
    this.injected += 1;
    if (pastDecoder) this.pastDecoder += 1;
    if (field !== 'bytes') count(this.hits[kind]!, field);
    return { frame, kind, field, direction, pastDecoder };
  }

  /** The field with the fewest hits that still wants some. */
  #poorest(kind: MessageKind, without: readonly Field[]): Field | undefined {
    const open = Object.entries(this.hits[kind] ?? {})
      .filter(([field, times]) => times < this.#share && !without.includes(field as Field))
      .sort((a, b) => a[1] - b[1]);
    const least = open.filter(([, times]) => times === open[0]?.[1]);
    return least.length === 0 ? undefined : (this.#dice.pick(least)[0] as Field);
  }
}

/** The fields that can be wrong in each kind of message. */
export function fieldsOfKinds(kinds: readonly MessageKind[], withTensors: ReadonlySet<MessageKind>) {
  return Object.fromEntries(
    kinds.map((kind) => [kind, withTensors.has(kind) ? [...fields, ...tensorFields] : [...fields]]),
  ) as Readonly<Record<string, readonly Field[]>>;
}

/** Whether the frame is a message. Throws unless a frame that is none is told so by a ProtocolError. */
function decodes(frame: Uint8Array<ArrayBuffer>): boolean {
  try {
    decodeMessage(frame);
    return true;
  } catch (error) {
    if (codeOf(error) === 'internal') throw error;
    return false;
  }
}
