// An attacker that has an endless supply of bad frames: mutated, cut, spliced and late copies of real ones, and messages that fast-check
// makes up. Each is judged before it goes out, and one that might be right where it stands is thrown away.

import fc from 'fast-check';
import { type Message, type MessageKind, messageKinds } from '../../src/protocol/index.ts';
import { type Tensor, zeros } from '../../src/tensor/index.ts';
import type { Attacker, Injection } from './hostile-proxy.ts';
import { Dice, type Field, fields, frameOf, mutate, tensorFields, wrongBytes } from './mutations.ts';
import { count, type Tally } from './party.ts';
import { impossibleValues, judge } from './wrongness.ts';

type Frame = Uint8Array<ArrayBuffer>;

const sources = ['field', 'values', 'bytes', 'bits', 'late', 'spliced', 'made up'] as const;
type Source = (typeof sources)[number];
/** How often each is taken, as shares of 100. */
const shares: Readonly<Record<Source, number>> = {
  field: 32,
  values: 4,
  bytes: 10,
  bits: 16,
  late: 10,
  spliced: 8,
  'made up': 20,
};

/** How often a message is attacked. A bad frame brings a new connection, so most messages are hellos and welcomes. */
const often: Partial<Record<MessageKind, number>> = { hello: 0.15, welcome: 0.1 };

/** Honest frames that are kept, to be sent where they do not belong. */
const keptMost = 64;
const keptBytesMost = 16 << 10;
const madeUpAtOnce = 256;

/** What an attack came to. */
export interface FuzzBooks {
  readonly injected: number;
  readonly pastDecoder: number;
  /** By who had to find it out, by where it came from, by the honest message in whose place it went. */
  readonly byStage: Tally;
  readonly bySource: Tally;
  readonly byKind: Tally;
  /** Frames that were thrown away because they might be right. */
  readonly discarded: Tally;
  readonly refusals: Readonly<Record<'up' | 'down', Tally>>;
}

export class Fuzzer implements Attacker {
  readonly #dice: Dice;
  readonly #seed: number;
  readonly #kept: Frame[] = [];
  #madeUp: Partial<Message>[] = [];
  #batches = 0;
  readonly #byStage: Tally = {};
  readonly #bySource: Tally = {};
  readonly #byKind: Tally = {};
  readonly #discarded: Tally = {};
  readonly #refusals: Record<'up' | 'down', Tally> = { up: {}, down: {} };
  injected = 0;
  #pastDecoder = 0;
  /** How many frames are to be sent in all. */
  readonly wanted: number;
  /** Fewer than 1 leaves more messages in peace, so that few frames are spread over all kinds of them. */
  intensity = 1;

  constructor(seed: number, wanted: number) {
    this.#seed = seed;
    this.#dice = new Dice(seed, 'fuzz');
    this.wanted = wanted;
  }

  get books(): FuzzBooks {
    return {
      injected: this.injected,
      pastDecoder: this.#pastDecoder,
      byStage: this.#byStage,
      bySource: this.#bySource,
      byKind: this.#byKind,
      discarded: this.#discarded,
      refusals: this.#refusals,
    };
  }

  get done(): boolean {
    return this.injected >= this.wanted;
  }

  choose(direction: 'up' | 'down', honest: Message, without: readonly Field[] = []): Injection | undefined {
    if (this.done || this.#dice.uniform() >= this.intensity * (often[honest.kind] ?? 0.95)) return undefined;
    const honestFrame = frameOf(honest);
    for (let tries = 0; tries < 4; tries++) {
      const source = this.#source();
      const frame = this.#frame(source, honest, honestFrame, without);
      if (!frame) continue;
      const verdict = judge(honest, honestFrame, frame);
      if (!verdict.wrong) {
        count(this.#discarded, verdict.why);
        continue;
      }
      // Where a field tells nothing yet, it must not be the only one that is wrong; nor may it come before the others.
      if (verdict.fields.some((field) => without.includes(field as Field))) continue;
      const pastDecoder = verdict.stage !== 'decoder';
      this.injected += 1;
      if (pastDecoder) this.#pastDecoder += 1;
      count(this.#byStage, verdict.stage);
      count(this.#bySource, source);
      count(this.#byKind, honest.kind);
      this.#keep(honestFrame);
      return { frame, kind: honest.kind, field: 'bytes', direction, pastDecoder };
    }
    return undefined;
  }

  refused({ direction }: Injection, code: string): void {
    count(this.#refusals[direction], code);
  }

  withdrawn({ kind, pastDecoder }: Injection): void {
    this.injected -= 1;
    if (pastDecoder) this.#pastDecoder -= 1;
    count(this.#byKind, kind, -1);
    count(this.#discarded, 'came too late');
  }

  #source(): Source {
    let left = this.#dice.uniform() * 100;
    for (const source of sources) {
      left -= shares[source];
      if (left < 0) return source;
    }
    return 'field';
  }

  #frame(source: Source, honest: Message, honestFrame: Frame, without: readonly Field[]): Frame | undefined {
    const dice = this.#dice;
    switch (source) {
      case 'field': {
        const all: readonly Field[] = honest.tensors.length > 0 ? [...fields, ...tensorFields] : fields;
        return frameOf(mutate(honest, dice.pick(all.filter((field) => !without.includes(field))), dice));
      }
      case 'values': {
        const impossible = impossibleValues(honest);
        return impossible && frameOf(impossible);
      }
      case 'bytes':
        return wrongBytes(honest, dice);
      case 'bits':
        return this.#flipped(honestFrame);
      case 'late':
        return this.#kept.length > 0 ? dice.pick(this.#kept).slice() : undefined;
      case 'spliced':
        return this.#kept.length > 0 ? spliced(honestFrame, dice.pick(this.#kept), dice) : undefined;
      case 'made up':
        return frameOf({ ...honest, ...this.#madeUpFields() });
    }
  }

  /** A few bits or bytes changed, for the most part where the header is. */
  #flipped(honest: Frame): Frame {
    const dice = this.#dice;
    const frame = honest.slice();
    const header = Math.min(frame.length, 12 + new DataView(frame.buffer).getUint32(8, true));
    for (let times = 1 + dice.integer(4); times > 0; times--) {
      const at = dice.integer(dice.uniform() < 0.8 ? header : frame.length);
      frame[at] = dice.uniform() < 0.5 ? frame[at]! ^ (1 << dice.integer(8)) : dice.integer(256);
    }
    return frame;
  }

  #keep(frame: Frame): void {
    if (frame.length > keptBytesMost) return;
    if (this.#kept.length < keptMost) this.#kept.push(frame);
    else this.#kept[this.#dice.integer(keptMost)] = frame;
  }

  #madeUpFields(): Partial<Message> {
    if (this.#madeUp.length === 0) {
      const seed = (this.#seed * 1_000_003 + this.#batches++) | 0;
      this.#madeUp = fc.sample(someFields, { seed, numRuns: madeUpAtOnce });
    }
    return this.#madeUp.pop()!;
  }
}

/** The beginning of one frame and the end of another. */
function spliced(one: Frame, other: Frame, dice: Dice): Frame {
  const start = one.subarray(0, dice.integer(one.length));
  return Uint8Array.from(Buffer.concat([start, other.subarray(dice.integer(other.length))]));
}

const uint32 = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 2 ** 31 - 1 }), fc.constant(2 ** 32 - 1));
const hash = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''));
const tensorOf = fc
  .tuple(
    fc.constantFrom('float32', 'float64', 'int32', 'int64', 'uint8', 'int8', 'bool', 'float16'),
    fc.array(fc.nat({ max: 5 }), { maxLength: 4 }),
    fc.string({ maxLength: 12 }),
  )
  .map(([dtype, dims, name]) => ({ name, tensor: zeros(dtype, dims) as Tensor }));

/** Some fields of a message, of any values that a message can carry; at least one. */
const someFields: fc.Arbitrary<Partial<Message>> = fc
  .record(
    {
      kind: fc.constantFrom(...(Object.keys(messageKinds) as MessageKind[])),
      sequence: fc.oneof(fc.nat({ max: 5 }), fc.maxSafeNat()),
      epoch: uint32,
      step: uint32,
      part: uint32,
      chunk: uint32,
      scalars: fc.array(fc.double(), { maxLength: 4 }),
      tensors: fc.array(tensorOf, { maxLength: 4 }),
      site: fc.string({ maxLength: 20, unit: 'grapheme' }),
      plan: hash,
      text: fc.string({ maxLength: 40, unit: 'grapheme' }),
      digest: hash,
    },
    { requiredKeys: [] },
  )
  .filter((made) => Object.keys(made).length > 0);
