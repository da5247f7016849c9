// The header codec beside the one that protobuf generates of septum.proto.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Header as Generated, HeaderSchema } from './gen/septum_pb.ts';
import { type Header, readHeader, writeHeader } from './header.ts';

const word = fc.nat({ max: 0xffffffff });
const bytes = fc.uint8Array({ maxLength: 40 });
const text = fc.string({ maxLength: 200, unit: 'grapheme' });
const headers: fc.Arbitrary<Header> = fc.record({
  kind: word,
  sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  epoch: word,
  step: word,
  part: word,
  chunk: word,
  scalars: fc.array(fc.double(), { maxLength: 30 }),
  tensors: fc.array(fc.record({ name: text, dtype: word, dims: fc.array(word, { maxLength: 9 }) }), { maxLength: 4 }),
  site: text,
  plan: bytes,
  text,
  digest: bytes,
  proof: fc.option(fc.record({ challenge: bytes, key: bytes, token: bytes, signature: bytes }), { nil: undefined }),
});

it('writes the bytes that the descriptors give, and reads them again', () => {
  fc.assert(
    fc.property(headers, (header) => {
      const written = writeHeader(header);
      const { proof, ...rest } = header;
      const tensors = rest.tensors.map((tensor) => ({ ...tensor, dims: [...tensor.dims] }));
      const generated = create(HeaderSchema, {
        ...rest,
        scalars: [...rest.scalars],
        tensors,
        ...(proof && { proof }),
      });
      expect(written).toEqual(toBinary(HeaderSchema, generated));
      expect(readHeader(written)).toEqual(header);
    }),
  );
});

it('reads nothing of changed bytes that the descriptors read otherwise', () => {
  const seen = { read: 0, unknown: 0, refused: 0 };
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(headers, changes, (header, all) => {
      const written = writeHeader(header);
      for (const [at, byte] of all) written[at % Math.max(1, written.length)] = byte;
      let read;
      try {
        read = readHeader(written);
      } catch {
        seen.refused += 1;
        return;
      }
      seen[read ? 'read' : 'unknown'] += 1;
      if (read) expect(read).toEqual(plain(fromBinary(HeaderSchema, written)));
    }),
    { numRuns: 2000 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50);
});

it('takes numbers of a list one by one, and the last of what comes twice', () => {
  const tensor = [0x42, 6, 0x10, 1, 0x18, 2, 0x18, 3];
  const header = readHeader(Uint8Array.from([0x08, 1, 0x08, 6, ...tensor]));
  expect(header).toMatchObject({ kind: 6, tensors: [{ name: '', dtype: 1, dims: [2, 3] }] });
});

/** What the descriptors read, as a header; with what they do not know it is none. */
function plain({ tensors, proof, ...rest }: Generated): unknown {
  const known = (value: { $typeName: string; $unknown?: unknown }) => {
    const { $typeName: _, ...fields } = value;
    return fields;
  };
  return { ...known(rest), tensors: tensors.map(known), proof: proof && known(proof) };
}
