// The form of a commit as bytes, version 1, little-endian:
//
//   8 bytes   "SEPTUMCM"
//   4 bytes   version, 4 bytes length of the JSON with its padding
//   JSON      { index, meta, tensors: [{ name, dtype, dims, offset }] }, padded with spaces so that the data start at a multiple of 64
//   data      the tensors in that order, row-major, each at `offset` from the start of the data, a multiple of 64; zeros between
//   32 bytes  SHA-256 of everything before
//
// Here are the head and the order of the parts; reading, writing and hashing belong to each store. Whatever is read is checked:
// there is exactly one layout for given tensors, and no other is accepted.

import { z } from 'zod';
import { DataError, assert } from '../base/index.ts';
import { bytesOf, bytesPerElement, elementCount, type DType, type Tensor, dtypes } from '../tensor/index.ts';
import { encodeJson, type Json } from './json.ts';
import type { Commit } from './commit-store.ts';

export const containerPreambleBytes = 16;
export const containerTrailerBytes = 32;
const magic = new TextEncoder().encode('SEPTUMCM');
const version = 1;
const alignment = 64;
/** The JSON may be no longer. */
const jsonBytesMax = 64 * 2 ** 20;

const size = z.number().int().nonnegative();
const headSchema = z.strictObject({
  index: size,
  meta: z.unknown(),
  tensors: z.array(
    z.strictObject({ name: z.string(), dtype: z.enum(dtypes), dims: z.array(size).max(16), offset: size }),
  ),
});

/** A tensor's place in the data. */
export interface ContainerTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly offset: number;
  readonly byteLength: number;
}

export interface ContainerHead {
  readonly index: number;
  readonly meta: Json;
  readonly tensors: readonly ContainerTensor[];
  /** All tensors with the zeros between and after them. */
  readonly dataBytes: number;
}

/** The bytes of a commit in order, without the trailer; tensors as views, not copies. Throws DataError `bad-data` for `meta` that is not JSON. */
export function* containerParts(commit: Commit): Generator<Uint8Array> {
  const { places } = layOut(
    Object.entries(commit.tensors).map(([name, { dtype, dims }]) => ({ name, dtype, dims: [...dims] })),
  );
  const tensors = places.map(({ name, dtype, dims, offset }) => ({ name, dtype, dims, offset }));
  const json = new TextEncoder().encode(encodeJson({ index: commit.index, meta: commit.meta, tensors }));
  const jsonBytes = aligned(containerPreambleBytes + json.byteLength) - containerPreambleBytes;
  if (jsonBytes > jsonBytesMax)
    throw new DataError(
      'bad-data',
      `a commit's meta takes ${json.byteLength} bytes, but at most ${jsonBytesMax} are kept`,
    );
  const head = new Uint8Array(containerPreambleBytes + jsonBytes).fill(0x20);
  head.set(magic);
  const view = new DataView(head.buffer);
  view.setUint32(8, version, true);
  view.setUint32(12, jsonBytes, true);
  head.set(json, containerPreambleBytes);
  yield head;
  for (const { name, byteLength } of places) {
    yield bytesOf(commit.tensors[name] as Tensor);
    const gap = aligned(byteLength) - byteLength;
    if (gap > 0) yield new Uint8Array(gap);
  }
}

/** The length of the JSON that follows the preamble. Throws DataError `bad-file`. */
export function readContainerPreamble(preamble: Uint8Array): number {
  assert(preamble.byteLength === containerPreambleBytes, 'a preamble has 16 bytes');
  const view = new DataView(preamble.buffer, preamble.byteOffset);
  if (!magic.every((byte, index) => preamble[index] === byte))
    throw new DataError('bad-file', 'it does not begin as a commit does');
  const found = view.getUint32(8, true);
  if (found !== version) throw new DataError('bad-file', `it has version ${found}, but version ${version} is read`);
  const jsonBytes = view.getUint32(12, true);
  if (jsonBytes > jsonBytesMax || (containerPreambleBytes + jsonBytes) % alignment !== 0)
    throw new DataError('bad-file', `its head has an impossible length of ${jsonBytes} bytes`);
  return jsonBytes;
}

/** What the JSON says. Throws DataError `bad-file`. */
export function readContainerHead(json: Uint8Array): ContainerHead {
  const parsed = headSchema.safeParse(parseJson(json));
  if (!parsed.success) throw new DataError('bad-file', `its head is not a commit's: ${z.prettifyError(parsed.error)}`);
  const { index, meta, tensors } = parsed.data;
  const { places, dataBytes } = layOut(tensors);
  if (!Number.isSafeInteger(dataBytes)) throw new DataError('bad-file', 'its tensors have an impossible size');
  if (places.some((place, at) => place.offset !== tensors[at]?.offset))
    throw new DataError('bad-file', 'its tensors do not lie where they should');
  if (new Set(tensors.map((each) => each.name)).size !== tensors.length)
    throw new DataError('bad-file', 'it has two tensors of one name');
  return { index, meta: meta as Json, tensors: places, dataBytes };
}

function layOut(
  tensors: readonly { readonly name: string; readonly dtype: DType; readonly dims: readonly number[] }[],
): {
  readonly places: readonly ContainerTensor[];
  readonly dataBytes: number;
} {
  let dataBytes = 0;
  const places = tensors.map(({ name, dtype, dims }) => {
    const byteLength = elementCount(dims) * bytesPerElement(dtype);
    const place = { name, dtype, dims, offset: dataBytes, byteLength };
    dataBytes += aligned(byteLength);
    return place;
  });
  return { places, dataBytes };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new DataError('bad-file', 'its head is not JSON', { cause: error });
  }
}
