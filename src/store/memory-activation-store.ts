// Activations in memory, for tests and small studies.

import { tensor, type Tensor } from '../tensor/index.ts';
import type { ActivationChunk, ActivationStore, RowPick, Section, SectionKey } from './activation-store.ts';
import { differentChunk, SectionTable, type ChunkEntry } from './section-table.ts';

/** An empty store for rows of this shape. */
export function createMemoryActivationStore(rowDims: readonly number[]): ActivationStore {
  return new MemoryActivationStore(rowDims);
}

interface MemoryChunk extends ChunkEntry {
  readonly activations: Float32Array;
}

class MemoryActivationStore implements ActivationStore {
  readonly rowDims: readonly number[];
  readonly #table: SectionTable<MemoryChunk>;

  constructor(rowDims: readonly number[]) {
    this.rowDims = [...rowDims];
    this.#table = new SectionTable(this.rowDims);
  }

  async append(chunk: ActivationChunk): Promise<void> {
    this.#table.check(chunk);
    const known = this.#table.place(chunk);
    if (known) {
      if (!isSame(known, chunk)) throw differentChunk(chunk);
      return;
    }
    this.#table.add(chunk, {
      firstRow: this.#table.rowCount(chunk),
      rowCount: chunk.labels.length,
      labels: chunk.labels.slice(),
      groups: chunk.groups.slice(),
      activations: chunk.activations.data.slice(),
    });
  }

  section(key: SectionKey): Section {
    return this.#table.section(key);
  }

  sections(): readonly Section[] {
    return this.#table.sections();
  }

  async seal(site: string): Promise<void> {
    this.#table.seal(site);
  }

  isSealed(site: string): boolean {
    return this.#table.isSealed(site);
  }

  async remove(site: string): Promise<void> {
    this.#table.remove(site);
  }

  async read(picks: readonly RowPick[]): Promise<Tensor<'float32'>> {
    const { rowLength } = this.#table;
    const rows = new Float32Array(picks.length * rowLength);
    for (const [at, { section, row }] of picks.entries()) {
      this.#table.checkRow(section, row);
      const chunk = chunkOf(this.#table.chunks(section), row);
      const start = (row - chunk.firstRow) * rowLength;
      rows.set(chunk.activations.subarray(start, start + rowLength), at * rowLength);
    }
    return tensor('float32', [picks.length, ...this.rowDims], rows);
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The chunk with the row, which is there; by halving. */
function chunkOf(chunks: readonly MemoryChunk[], row: number): MemoryChunk {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (chunks[middle]!.firstRow <= row) low = middle;
    else high = middle - 1;
  }
  return chunks[low]!;
}

function isSame(known: MemoryChunk, { activations, labels, groups }: ActivationChunk): boolean {
  return (
    sameBytes(known.activations, activations.data) && sameBytes(known.labels, labels) && sameBytes(known.groups, groups)
  );
}

function sameBytes(first: ArrayBufferView, second: ArrayBufferView): boolean {
  const [one, other] = [first, second].map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  return one!.length === other!.length && one!.every((byte, at) => byte === other![at]);
}
