// The index of a section's file of rows: one line of JSON a chunk, written after the rows are safe. A chunk counts once its line
// stands whole. The checksum covers the line's values and the rows, so a changed bit in either file is found.

import { createHash, type Hash } from 'node:crypto';
import { z } from 'zod';
import { bytesOf } from '../../tensor/index.ts';
import type { ActivationChunk, SectionKey } from '../activation-store.ts';
import { sectionId, type ChunkEntry } from '../section-table.ts';

export interface IndexedChunk extends ChunkEntry {
  /** SHA-256 of the chunk, 64 hexadecimal digits. */
  readonly sha256: string;
}

const lineSchema = z.strictObject({
  index: z.number().int().nonnegative(),
  labels: z.base64(),
  groups: z.base64(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Begins the checksum of a chunk: its place, labels and groups; the rows' bytes follow. */
export function beginChunkHash(key: SectionKey, index: number, labels: Float64Array, groups: Int32Array): Hash {
  return createHash('sha256')
    .update(`${sectionId(key)} ${index} ${labels.length}\n`)
    .update(labels)
    .update(groups);
}

export function chunkHash(chunk: ActivationChunk): string {
  return beginChunkHash(chunk, chunk.index, chunk.labels, chunk.groups)
    .update(bytesOf(chunk.activations))
    .digest('hex');
}

export function indexLine(chunk: ActivationChunk, sha256: string): string {
  return `${JSON.stringify({
    index: chunk.index,
    labels: toBase64(chunk.labels),
    groups: toBase64(chunk.groups),
    sha256,
  })}\n`;
}

/** The entry of chunk `index`, or what is wrong with the line. */
export function readIndexLine(line: string, index: number, firstRow: number): IndexedChunk | string {
  const parsed = lineSchema.safeParse(parseJson(line));
  if (!parsed.success) return 'its line in the index is damaged';
  const labelBytes = fromBase64(parsed.data.labels);
  const groupBytes = fromBase64(parsed.data.groups);
  const rowCount = labelBytes.byteLength / 8;
  if (
    parsed.data.index !== index ||
    !Number.isInteger(rowCount) ||
    rowCount < 1 ||
    groupBytes.byteLength !== rowCount * 4
  )
    return 'its line in the index does not fit';
  const labels = new Float64Array(labelBytes);
  const groups = new Int32Array(groupBytes);
  // Base64 has several spellings of the same bytes; only one was written.
  if (toBase64(labels) !== parsed.data.labels || toBase64(groups) !== parsed.data.groups)
    return 'its line in the index is damaged';
  return { firstRow, rowCount, labels, groups, sha256: parsed.data.sha256 };
}

function toBase64(array: Float64Array | Int32Array): string {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
}

/** The bytes in a buffer of their own. */
function fromBase64(text: string): ArrayBuffer {
  return new Uint8Array(Buffer.from(text, 'base64')).buffer;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // The schema refuses `undefined`, which is how the caller learns of it.
    return undefined;
  }
}
