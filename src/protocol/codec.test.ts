import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../base/index.ts';
import { type DType, elementCount, type Tensor, viewBytes, zeros } from '../tensor/index.ts';
import { decodeMessage, encodeMessage, frameBytes, frameOverheadBytesMax } from './codec.ts';
import { message, type Message, type MessageKind, messageKinds } from './message.ts';

const kinds = Object.keys(messageKinds) as MessageKind[];
const dtypes: readonly DType[] = ['float32', 'uint8', 'int8', 'int32', 'int64', 'bool', 'float16', 'float64'];

const tensors: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom(...dtypes),
    fc.array(fc.nat({ max: 4 }), { maxLength: 4 }),
    fc.infiniteStream(fc.nat({ max: 255 })),
  )
  .map(([dtype, dims, stream]) => {
    const value = zeros(dtype, dims);
    const bytes = new Uint8Array(value.data.buffer);
    bytes.set([...stream.take(bytes.length)]);
    return value;
  });
const word = fc.nat({ max: 0xffffffff });
const hex = fc.oneof(fc.constant(''), fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex));
const proof = fc.record({ challenge: hex, key: hex, token: hex, signature: hex });
const messages: fc.Arbitrary<Message> = fc.record(
  {
    kind: fc.constantFrom(...kinds),
    sequence: fc.maxSafeNat(),
    epoch: word,
    step: word,
    part: word,
    chunk: word,
    scalars: fc.array(fc.double({ noNaN: true }), { maxLength: 3 }),
    tensors: fc.array(fc.record({ name: fc.string({ maxLength: 12 }), tensor: tensors }), { maxLength: 4 }),
    site: fc.string({ maxLength: 20 }),
    plan: hex,
    text: fc.string({ maxLength: 50 }),
    digest: hex,
    proof,
  },
  {
    requiredKeys: [
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
    ],
  },
);

describe('a frame', () => {
  it('is decoded to the message that it was made from', () => {
    fc.assert(
      fc.property(messages, (original) => {
        const decoded = decodeMessage(frameOf(original));
        expect(plain(decoded)).toEqual(plain(original));
        expect(frameOf(decoded)).toEqual(frameOf(original));
      }),
    );
  });

  it('keeps every float64 scalar, whatever it is', () => {
    const scalars = [Number.NaN, Number.POSITIVE_INFINITY, -0, 5e-324, 2 ** 53];
    expect(decodeMessage(frameOf(message('turn', { scalars }))).scalars).toEqual(scalars);
  });

  it('holds the tensors’ own bytes, and gives them back as views', () => {
    const value = zeros('float32', [3, 5]);
    const parts = encodeMessage(message('activations', { tensors: [{ name: 'cut', tensor: value }] }));
    expect(parts.at(-1)?.buffer).toBe(value.data.buffer);
    const frame = frameOf(message('activations', { tensors: [{ name: 'cut', tensor: value }] }));
    const data = decodeMessage(frame).tensors[0]?.tensor.data;
    expect(data?.buffer).toBe(frame.buffer);
    expect((data?.byteOffset ?? 1) % 64).toBe(0);
  });

  it('is decoded wherever it starts in its buffer', () => {
    fc.assert(
      fc.property(messages, fc.nat({ max: 65 }), (original, offset) => {
        const frame = frameOf(original);
        const shifted = new Uint8Array(frame.length + offset).subarray(offset);
        shifted.set(frame);
        expect(plain(decodeMessage(shifted))).toEqual(plain(original));
      }),
      { numRuns: 50 },
    );
  });

  it('costs at most 256 bytes over its tensors in the messages of a step', () => {
    const dims = [32, 16, 32, 32];
    const step = message('activations', {
      sequence: 1e9,
      epoch: 1000,
      step: 100_000,
      tensors: [
        { name: 'cut', tensor: zeros('float32', dims) },
        { name: 'labels', tensor: zeros('int32', [32]) },
      ],
    });
    expect(frameBytes(step) - 4 * elementCount(dims) - 4 * 32).toBeLessThanOrEqual(256);
  });

  it('never exceeds the stated overhead', () => {
    fc.assert(
      fc.property(messages, (original) => {
        const bytes = original.tensors.reduce((sum, { tensor }) => sum + tensor.data.byteLength, 0);
        expect(frameBytes(original) - bytes).toBeLessThanOrEqual(frameOverheadBytesMax);
      }),
    );
  });
});

describe('a bad frame', () => {
  it('with changed bytes gives a message or a ProtocolError, never anything else', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 }),
        (original, changes) => {
          const frame = frameOf(original);
          for (const [at, byte] of changes) frame[at % frame.length] = byte;
          if (errorOf(frame)) refused += 1;
        },
      ),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('that is cut short or goes on is refused', () => {
    fc.assert(
      fc.property(messages, fc.nat(), (original, at) => {
        const frame = frameOf(original);
        const short = frame.slice(0, at % frame.length);
        // Fields may be missing at the end of the header: then its length in the prefix is wrong.
        expect(errorOf(short)).toBeInstanceOf(ProtocolError);
        const long = new Uint8Array(frame.length + 1 + (at % 100));
        long.set(frame);
        expect(errorOf(long)).toBeInstanceOf(ProtocolError);
      }),
    );
  });

  it('of random bytes is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(errorOf(Uint8Array.from(bytes))).toBeInstanceOf(ProtocolError);
      }),
    );
  });

  const good = () => frameOf(message('weights', { tensors: [{ name: 'a', tensor: zeros('float32', [2]) }] }));
  it.each<[string, string, (frame: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>]>([
    ['another magic number', 'bad-frame', (frame) => withByte(frame, 0, 0x54)],
    ['another version', 'bad-version', (frame) => withByte(frame, 4, 2)],
    ['a header longer than the frame', 'bad-frame', (frame) => withByte(frame, 9, 0x7f)],
    ['padding that is not zero', 'bad-frame', (frame) => withByte(frame, 63, 1)],
    ['an unknown kind', 'bad-field', (frame) => withHeader(frame, [0x08, 99])],
    ['an unknown field', 'bad-field', (frame) => withHeader(frame, [0x08, 12, 0xf8, 0x01, 1])],
    [
      'a sequence beyond 2^53',
      'bad-field',
      (frame) => withHeader(frame, [0x08, 12, 0x10, ...new Array<number>(9).fill(0xff), 1]),
    ],
    ['a type that is not known', 'bad-field', (frame) => withHeader(frame, [0x08, 12, 0x42, 2, 0x10, 99])],
    [
      'nine dimensions',
      'bad-field',
      (frame) => withHeader(frame, [0x08, 12, 0x42, 13, 0x10, 1, 0x1a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
    [
      'a tensor of 2^64 elements',
      'bad-frame',
      (frame) =>
        withHeader(
          frame,
          [0x08, 12, 0x42, 14, 0x10, 1, 0x1a, 10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
    ],
    ['a field cut short', 'bad-frame', (frame) => withHeader(frame, [0x08, 12, 0x4a, 5, 65])],
  ])('with %s is refused as %s', (_what, code, spoil) => {
    expect(decodeMessage(good()).kind).toBe('weights');
    expect(errorOf(spoil(good()))).toMatchObject({ code });
  });
});

describe('the golden frames of docs/PROTOCOL.md', () => {
  const golden = JSON.parse(readFileSync(new URL('../../test/golden/wire/frames.json', import.meta.url), 'utf8')) as {
    name: string;
    hex: string;
    message: Partial<Omit<Message, 'kind' | 'tensors'>> & {
      kind: MessageKind;
      tensors?: { name: string; dtype: DType; dims: number[]; bytes: string }[];
    };
  }[];
  it.each(golden)('$name', ({ hex: bytes, message: { kind, tensors: specs = [], ...fields } }) => {
    const expected = message(kind, {
      ...fields,
      tensors: specs.map(({ name, dtype, dims, bytes: data }) => {
        const { buffer } = fromHex(data);
        return { name, tensor: { dtype, dims, data: viewBytes(dtype, buffer, 0, elementCount(dims)) } };
      }),
    });
    expect(plain(decodeMessage(fromHex(bytes)))).toEqual(plain(expected));
    expect(toHex(frameOf(expected))).toBe(bytes);
  });

  it('have one of every kind', () => {
    expect(new Set(golden.map((entry) => entry.message.kind))).toEqual(new Set(kinds));
  });
});

function frameOf(value: Message): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(encodeMessage(value).flatMap((part) => Array.from(part)));
}

/** What decoding the frame throws; undefined when it is a message. */
function errorOf(frame: Uint8Array<ArrayBuffer>): ProtocolError | undefined {
  try {
    decodeMessage(frame);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    return error as ProtocolError;
  }
}

/** The frame's prefix before another header, and nothing after it. */
function withHeader(frame: Uint8Array<ArrayBuffer>, header: readonly number[]): Uint8Array<ArrayBuffer> {
  const made = Uint8Array.from([...frame.subarray(0, 12), ...header]);
  made[8] = header.length;
  return made;
}

function withByte(frame: Uint8Array<ArrayBuffer>, at: number, byte: number): Uint8Array<ArrayBuffer> {
  frame[at] = byte;
  return frame;
}

/** A message with its tensors' bytes as text, so that NaNs compare by their bits. */
function plain({ tensors: named, ...rest }: Message): unknown {
  return {
    ...rest,
    tensors: named.map(({ name, tensor: { dtype, dims, data } }) => ({
      name,
      dtype,
      dims: [...dims],
      bytes: toHex(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    })),
  };
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}
