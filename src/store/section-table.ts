// What an activation store knows of its sections: chunks, labels, groups, which sites are sealed; and what may be appended.

import { DataError } from '../base/index.ts';
import { elementCount } from '../tensor/index.ts';
import type { ActivationChunk, Section, SectionKey } from './activation-store.ts';
import { checkStoreName } from './commit-store.ts';

const partOrder = ['train', 'val', 'test'] as const;

/** A chunk without its activations. */
export interface ChunkEntry {
  /** The chunk's first row within the section. */
  readonly firstRow: number;
  readonly rowCount: number;
  readonly labels: Float64Array;
  readonly groups: Int32Array;
}

interface SectionState<E extends ChunkEntry> {
  readonly key: SectionKey;
  readonly chunks: E[];
  rowCount: number;
  /** Labels and groups joined, until the next chunk. */
  joined: Section | undefined;
}

/** `E` is what a store keeps of each chunk besides. */
export class SectionTable<E extends ChunkEntry> {
  readonly #rowDims: readonly number[];
  readonly #sections = new Map<string, SectionState<E>>();
  readonly #sealed = new Set<string>();

  constructor(rowDims: readonly number[]) {
    this.#rowDims = rowDims;
  }

  /** Throws ConfigError or DataError `bad-data` for a chunk that no store of this shape can take. */
  check(chunk: ActivationChunk): void {
    checkKey(chunk);
    const { activations, labels, groups } = chunk;
    const rowCount = activations.dims[0] ?? 0;
    const problems: string[] = [];
    const rowDims = activations.dims.slice(1);
    if (activations.dtype !== 'float32' || rowDims.join() !== this.#rowDims.join())
      problems.push(
        `expected float32 rows of [${this.#rowDims.join(', ')}], got ${activations.dtype} rows of [${rowDims.join(', ')}]`,
      );
    if (!Number.isSafeInteger(chunk.index) || chunk.index < 0) problems.push(`index ${chunk.index} is not a chunk's`);
    if (rowCount < 1) problems.push('it has no rows');
    if (labels.length !== rowCount || groups.length !== rowCount)
      problems.push(`${rowCount} rows have ${labels.length} labels and ${groups.length} groups`);
    const bad = labels.findIndex((label) => !Number.isFinite(label));
    if (bad !== -1) problems.push(`label ${bad} is ${labels[bad]}`);
    if (problems.length > 0)
      throw new DataError(
        'bad-data',
        problems.map((problem) => `${describeChunk(chunk)}: ${problem}`),
      );
  }

  /** The entry that is there under the chunk's index, or `undefined` when the chunk is the next one. Else throws DataError `bad-data`. */
  place(chunk: ActivationChunk): E | undefined {
    const count = this.chunks(chunk).length;
    if (chunk.index < count) return this.chunks(chunk)[chunk.index];
    if (this.#sealed.has(chunk.site))
      throw new DataError('bad-data', `${describeChunk(chunk)}: site ${chunk.site} has declared its upload complete`);
    if (chunk.index > count) throw new DataError('bad-data', `${describeChunk(chunk)}: chunk ${count} must come first`);
    return undefined;
  }

  /** Adds the next chunk. */
  add(key: SectionKey, entry: E): void {
    const id = sectionId(key);
    let state = this.#sections.get(id);
    if (!state) {
      state = { key: { site: key.site, part: key.part, pass: key.pass }, chunks: [], rowCount: 0, joined: undefined };
      this.#sections.set(id, state);
    }
    state.chunks.push(entry);
    state.rowCount += entry.rowCount;
    state.joined = undefined;
  }

  chunks(key: SectionKey): readonly E[] {
    return this.#sections.get(sectionId(key))?.chunks ?? [];
  }

  rowCount(key: SectionKey): number {
    return this.#sections.get(sectionId(key))?.rowCount ?? 0;
  }

  section(key: SectionKey): Section {
    checkKey(key);
    const state = this.#sections.get(sectionId(key));
    if (!state) {
      const { site, part, pass } = key;
      return { site, part, pass, chunkCount: 0, rowCount: 0, labels: new Float64Array(0), groups: new Int32Array(0) };
    }
    return (state.joined ??= join(state));
  }

  sections(): readonly Section[] {
    return [...this.#sections.values()]
      .map((state) => this.section(state.key))
      .toSorted(
        (first, second) =>
          compareText(first.site, second.site) ||
          partOrder.indexOf(first.part) - partOrder.indexOf(second.part) ||
          first.pass - second.pass,
      );
  }

  seal(site: string): void {
    this.#sealed.add(site);
  }

  isSealed(site: string): boolean {
    return this.#sealed.has(site);
  }

  /** Forgets a site, and gives the sections that it had. */
  remove(site: string): readonly SectionKey[] {
    this.#sealed.delete(site);
    const keys = [...this.#sections.values()].map(({ key }) => key).filter((key) => key.site === site);
    for (const key of keys) this.#sections.delete(sectionId(key));
    return keys;
  }

  /** Throws DataError `missing-data` unless the section has the row. */
  checkRow(key: SectionKey, row: number): void {
    const count = this.rowCount(key);
    if (!Number.isSafeInteger(row) || row < 0 || row >= count)
      throw new DataError('missing-data', `${sectionId(key)} has ${count} rows of activations, and no row ${row}`);
  }

  /** Numbers in one row. */
  get rowLength(): number {
    return elementCount(this.#rowDims);
  }
}

/** A section's name in messages and files: `SITE.part.pass`. */
export function sectionId(key: SectionKey): string {
  return `${key.site}.${key.part}.${key.pass}`;
}

export function describeChunk(chunk: ActivationChunk): string {
  return `chunk ${chunk.index} of ${sectionId(chunk)}`;
}

export function differentChunk(chunk: ActivationChunk): DataError {
  return new DataError('bad-data', `${describeChunk(chunk)} is there already, with another content`);
}

function checkKey({ site, part, pass }: SectionKey): void {
  checkStoreName(site);
  const problems: string[] = [];
  if (!partOrder.includes(part)) problems.push(`"${part as string}" is not a part: expected train, val or test`);
  if (!Number.isSafeInteger(pass) || pass < 0 || pass > 999_999_999)
    problems.push(`${pass} is not a pass: expected 0 or more`);
  if (problems.length > 0) throw new DataError('bad-data', problems);
}

function join({ key, chunks, rowCount }: SectionState<ChunkEntry>): Section {
  const labels = new Float64Array(rowCount);
  const groups = new Int32Array(rowCount);
  for (const chunk of chunks) {
    labels.set(chunk.labels, chunk.firstRow);
    groups.set(chunk.groups, chunk.firstRow);
  }
  return { ...key, chunkCount: chunks.length, rowCount, labels, groups };
}

/** By code units, so that the order is the same everywhere. */
function compareText(first: string, second: string): number {
  return first < second ? -1 : first > second ? 1 : 0;
}
