// Frames that are wrong: an honest message with one field changed so that it fits no state of the study, or bytes that are no message.

import { randomStream } from '../../src/base/index.ts';
import {
  encodeMessage,
  type Message,
  type MessageKind,
  messageKinds,
  type NamedTensor,
  type Proof,
} from '../../src/protocol/index.ts';
import { elementCount, float32, tensor, zeros } from '../../src/tensor/index.ts';

/** What can be wrong in a message. `tensors` is their number. */
export const fields = [
  'kind',
  'sequence',
  'epoch',
  'step',
  'part',
  'chunk',
  'scalars',
  'tensors',
  'site',
  'plan',
  'text',
  'digest',
  'proof',
] as const;
/** What can be wrong in a tensor of a message that has some. */
export const tensorFields = ['tensor name', 'tensor type', 'tensor dims', 'tensor values'] as const;
export type Field = (typeof fields)[number] | (typeof tensorFields)[number];

/** With what a bad frame is refused: the protocol's codes, and the transport's for a first one that is larger than any hello. */
export const refusalCodes: readonly string[] = [
  'bad-frame',
  'bad-version',
  'bad-field',
  'bad-shape',
  'not-finite',
  'out-of-order',
  'plan-mismatch',
  'unknown-site',
  'study-went-back',
  'too-large',
];

/** Draws from a counted stream, so that a seed gives the same frames. */
export class Dice {
  readonly #stream;
  #drawn = 0;

  constructor(seed: number, purpose: string) {
    this.#stream = randomStream(seed, `faults ${purpose}`);
  }

  /** An integer 0 … below - 1. */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** A number in [0, 1). */
  uniform(): number {
    return this.#stream.uniform(this.#drawn++);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.integer(values.length)] as T;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.integer(256));
  }
}

/** The message with that field wrong. It must have what the field speaks of. */
export function mutate(honest: Message, field: Field, dice: Dice): Message {
  switch (field) {
    case 'kind':
      return {
        ...honest,
        kind: dice.pick((Object.keys(messageKinds) as MessageKind[]).filter((kind) => kind !== honest.kind)),
      };
    case 'sequence':
      return { ...honest, sequence: wrongSequence(honest, dice) };
    case 'epoch':
    case 'step':
    case 'part':
    case 'chunk':
      return { ...honest, [field]: otherThan(honest[field], [0, 1, honest[field] + 1, 2 ** 31, 2 ** 32 - 1], dice) };
    case 'scalars':
      return { ...honest, scalars: wrongScalars(honest, dice) };
    case 'tensors':
      return { ...honest, tensors: wrongTensorCount(honest.tensors, dice) };
    case 'site':
      return {
        ...honest,
        site: dice.pick(honest.site === '' ? ['A', 'Z'] : ['', 'Z', `${honest.site} `, 'x'.repeat(9000)]),
      };
    case 'plan':
      return { ...honest, plan: honest.plan === '' ? hex(dice.bytes(32)) : wrongHash(honest.plan, dice) };
    case 'text':
      return { ...honest, text: honest.text === '' ? dice.pick([' ', 'text', '\u001b[2J']) : 'x'.repeat(2000) };
    case 'digest':
      return { ...honest, digest: honest.digest === '' ? hex(dice.bytes(32)) : wrongHash(honest.digest, dice) };
    case 'proof':
      return { ...honest, proof: wrongProof(dice) };
    case 'tensor name':
    case 'tensor type':
    case 'tensor dims':
    case 'tensor values': {
      const place = dice.integer(honest.tensors.length);
      const tensors = honest.tensors.map((named, index) => (index === place ? wrongTensor(named, field, dice) : named));
      return { ...honest, tensors };
    }
  }
}

/** Where nobody asks for a proof, any is one too many. */
function wrongProof(dice: Dice): Proof {
  const some = (length: number): string => (dice.integer(2) === 0 ? '' : hex(dice.bytes(length)));
  return { challenge: some(32), key: some(32), token: some(32), signature: some(64) };
}

/** Bytes that no decoder may take for a message. */
export function wrongBytes(honest: Message, dice: Dice): Uint8Array<ArrayBuffer> {
  const frame = join(encodeMessage(honest));
  const view = new DataView(frame.buffer);
  const headerBytes = view.getUint32(8, true);
  switch (dice.integer(9)) {
    case 0:
      return dice.bytes(dice.integer(400));
    case 1: // shorter
      return frame.slice(0, dice.integer(frame.length));
    case 2: // longer
      return join([frame, dice.bytes(1 + dice.integer(64))]);
    case 3: // magic
      frame[dice.integer(4)]! ^= 1 << dice.integer(8);
      return frame;
    case 4: // version
      view.setUint32(4, 2 + dice.integer(1000), true);
      return frame;
    case 5: // header's length
      view.setUint32(8, otherThan(headerBytes, [0, headerBytes + 1, 2 ** 31, 2 ** 32 - 1], dice), true);
      return frame;
    case 6: // a kind that is none
      return withHeader(frame, headerBytes, [0x08, 100 + dice.integer(27)]);
    case 7: // a field that is none
      return withHeader(frame, headerBytes, [0x78, 1]);
    default: // a tensor of an unknown type, of 2^64 elements, or of nine dimensions
      return withHeader(
        frame,
        headerBytes,
        dice.pick([
          [0x42, 2, 0x10, 99],
          [0x42, 14, 0x10, 1, 0x1a, 10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f],
          [0x42, 13, 0x10, 1, 0x1a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        ]),
      );
  }
}

/** The frame of a message in one piece. */
export function frameOf(message: Message): Uint8Array<ArrayBuffer> {
  return join(encodeMessage(message));
}

/** The frame with more bytes at the end of its protobuf header; what follows is dropped. */
function withHeader(frame: Uint8Array, headerBytes: number, more: readonly number[]): Uint8Array<ArrayBuffer> {
  const longer = join([frame.subarray(0, 12 + headerBytes), Uint8Array.from(more)]);
  new DataView(longer.buffer).setUint32(8, headerBytes + more.length, true);
  return longer;
}

// A hello may stand where the server does not, by what is still under way; far ahead it never may. Behind the welcome's site the server
// may not stand either.
function wrongSequence({ kind, sequence }: Message, dice: Dice): number {
  if (kind === 'hello' || kind === 'welcome') return sequence + 1000 + dice.integer(2 ** 40);
  return otherThan(sequence, [0, sequence + 1, Math.max(0, sequence - 1), sequence + 1000, 2 ** 32, 2 ** 53 - 1], dice);
}

function wrongScalars({ kind, scalars }: Message, dice: Dice): readonly number[] {
  if (scalars.length === 0) return Array.from({ length: 1 + dice.integer(3) }, () => dice.uniform());
  const place = dice.integer(scalars.length);
  const replaced = (value: number) => scalars.map((scalar, index) => (index === place ? value : scalar));
  const impossible = ['weights', 'pooled', 'refuse'].includes(kind) ? [-1, 0.5, 1e300] : [];
  return dice.pick([
    () => scalars.slice(1),
    () => [...scalars, 0],
    () => [],
    () => replaced(dice.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])),
    () => replaced(dice.pick([Number.NaN, ...impossible])),
    () => (kind === 'verdict' ? scalars.with(0, 2) : replaced(Number.NaN)),
  ])();
}

function wrongTensorCount(tensors: readonly NamedTensor[], dice: Dice): readonly NamedTensor[] {
  const extra = { name: 'extra', tensor: float32([1, 2]) };
  if (tensors.length === 0) return [extra];
  return dice.pick([[], tensors.slice(1), tensors.slice(0, -1), [...tensors, extra], [...tensors, tensors[0]!]]);
}

function wrongTensor({ name, tensor: honest }: NamedTensor, field: Field, dice: Dice): NamedTensor {
  const { dtype, dims, data } = honest;
  if (field === 'tensor name')
    return { name: dice.pick(['', `${name}x`, name.toUpperCase(), 'x'.repeat(5000), '__proto__']), tensor: honest };
  if (field === 'tensor type') {
    const other = dice.pick(
      (['int8', 'uint8', 'bool', 'int32', 'int64', 'float16', 'float32', 'float64'] as const).filter(
        (one) => one !== dtype,
      ),
    );
    return { name, tensor: zeros(other, dims) };
  }
  if (field === 'tensor dims') {
    const [first = 1, ...rest] = dims;
    const wrong = dice.pick([
      [first + 1, ...rest],
      [0, ...rest],
      [1, ...dims],
      [...dims, 1],
      [elementCount(dims), 1, 1],
    ]);
    const kept = elementCount(wrong) === elementCount(dims);
    return { name, tensor: kept ? { dtype, dims: wrong, data } : zeros(dtype, wrong) };
  }
  const spoilt = data.slice() as Float32Array<ArrayBuffer>;
  const place = dice.integer(spoilt.length);
  const isFloat = dtype === 'float32' || dtype === 'float64';
  spoilt[place] = isFloat ? dice.pick([Number.NaN, Infinity, -Infinity]) : dice.pick([-1, -(2 ** 31), 2 ** 31 - 1]);
  return { name, tensor: tensor(dtype, dims, spoilt) };
}

function wrongHash(honest: string, dice: Dice): string {
  const bytes = Uint8Array.from({ length: honest.length / 2 }, (_, index) =>
    Number.parseInt(honest.slice(2 * index, 2 * index + 2), 16),
  );
  const flipped = bytes.slice();
  flipped[dice.integer(bytes.length)]! ^= 1 << dice.integer(8);
  return hex(dice.pick([flipped, bytes.slice(1), new Uint8Array(), join([bytes, bytes]), dice.bytes(bytes.length)]));
}

function otherThan(honest: number, candidates: readonly number[], dice: Dice): number {
  return dice.pick(candidates.filter((candidate) => candidate !== honest));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts));
}
