// Activations on disk. A folder holds `store.json` (the shape of a row), and for each section `SITE.part.pass.rows` (float32,
// little-endian, row after row, so that a row's place follows from its number) and `.index` (activation-index.ts); `SITE.sealed`
// says that a site has uploaded everything.

import { mkdir, open, readFile, readdir, rm, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, DataError } from '../../base/index.ts';
import { bytesOf, tensor, type Tensor } from '../../tensor/index.ts';
import type { ActivationChunk, ActivationStore, RowPick, Section, SectionKey } from '../activation-store.ts';
import { checkStoreName } from '../commit-store.ts';
import { describeChunk, differentChunk, sectionId, SectionTable } from '../section-table.ts';
import { beginChunkHash, chunkHash, indexLine, readIndexLine, type IndexedChunk } from './activation-index.ts';
import { atomicWriteFile } from './atomic-file.ts';
import { readAll, syncFolder, writeAll } from './file-bytes.ts';
import { fileError, isMissing } from './file-error.ts';
import { RowReader, type RowFile } from './row-reader.ts';

export interface FileActivationStoreOptions {
  /** Bytes of whole sections kept in memory. Default 256 MiB. */
  readonly cacheBytesMax?: number;
  /** Files open for reading at once. Default 64. */
  readonly filesMax?: number;
}

/** An activation store on disk. */
export interface FileActivationStore extends ActivationStore {
  /** What was found damaged when the store was opened, one line each. The chunks from there on are gone and must be sent again. */
  readonly problems: readonly string[];
}

/**
 * Opens the store in `folder`, or begins one for rows of `rowDims`. Every chunk that is there is checked against its checksum;
 * what a crash left half written is cut off. Throws ConfigError when the store holds rows of another shape, DataError `bad-file`.
 */
export async function openFileActivationStore(
  folder: string,
  rowDims: readonly number[],
  options: FileActivationStoreOptions = {},
): Promise<FileActivationStore> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await checkShape(folder, rowDims);
    const store = new Store(folder, rowDims, options);
    await store.load();
    return store;
  } catch (error) {
    if (error instanceof ConfigError || error instanceof DataError) throw error;
    throw fileError(folder, 'open the activation store', error);
  }
}

async function checkShape(folder: string, rowDims: readonly number[]): Promise<void> {
  const path = join(folder, 'store.json');
  const wanted = JSON.stringify({ format: 1, rowDims });
  const found = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found === undefined) await atomicWriteFile(path, wanted);
  else if (found !== wanted)
    throw new ConfigError('bad-usage', `${path}: this store was begun for ${found}, but the study needs ${wanted}`);
}

/** What `SITE.sealed` holds: rows by section. */
const sealedSchema = z.record(z.string(), z.number());

class Store implements FileActivationStore {
  readonly rowDims: readonly number[];
  readonly problems: string[] = [];
  readonly #folder: string;
  readonly #table: SectionTable<IndexedChunk>;
  readonly #rowBytes: number;
  readonly #reader: RowReader;
  /** The length of each section's index file as far as it is whole. */
  readonly #indexBytes = new Map<string, number>();
  /** The last append or seal of each site; the next one waits for it. */
  readonly #writing = new Map<string, Promise<void>>();
  #closed = false;

  constructor(folder: string, rowDims: readonly number[], options: FileActivationStoreOptions) {
    this.rowDims = [...rowDims];
    this.#folder = folder;
    this.#table = new SectionTable(this.rowDims);
    this.#rowBytes = this.#table.rowLength * 4;
    this.#reader = new RowReader(this.#rowBytes, options.cacheBytesMax ?? 256 * 2 ** 20, options.filesMax ?? 64);
  }

  async load(): Promise<void> {
    const names = (await readdir(this.#folder)).toSorted();
    for (const name of names) {
      const match = /^(.+)\.(train|val|test)\.(\d{1,9})\.index$/.exec(name);
      if (match)
        await this.#loadSection({ site: match[1]!, part: match[2] as SectionKey['part'], pass: Number(match[3]) });
    }
    for (const name of names.filter((each) => each.endsWith('.sealed'))) {
      const site = name.slice(0, -'.sealed'.length);
      const sealed = parseSealed(await readFile(join(this.#folder, name), 'utf8'));
      if (sealed && Object.entries(sealed).every(([id, count]) => this.#rowsOf(site, id) === count)) {
        this.#table.seal(site);
      } else {
        this.problems.push(
          `${name}: site ${site} had uploaded everything, but part of it is gone; it must send that again`,
        );
        await rm(join(this.#folder, name));
      }
    }
  }

  append(chunk: ActivationChunk): Promise<void> {
    return this.#inOrder(chunk.site, () => this.#append(chunk));
  }

  section(key: SectionKey): Section {
    return this.#table.section(key);
  }

  sections(): readonly Section[] {
    return this.#table.sections();
  }

  seal(site: string): Promise<void> {
    return this.#inOrder(site, async () => {
      checkStoreName(site);
      if (this.#table.isSealed(site)) return;
      const own = this.#table.sections().filter((section) => section.site === site);
      const counts = Object.fromEntries(own.map((section) => [sectionId(section), section.rowCount]));
      await atomicWriteFile(join(this.#folder, `${site}.sealed`), JSON.stringify(counts));
      this.#table.seal(site);
    });
  }

  isSealed(site: string): boolean {
    return this.#table.isSealed(site);
  }

  remove(site: string): Promise<void> {
    return this.#inOrder(site, async () => {
      checkStoreName(site);
      try {
        for (const key of this.#table.remove(site)) {
          const rows = this.#path(key, 'rows');
          await this.#reader.drop(rows);
          // The rows first: without them the index is found damaged.
          for (const path of [rows, this.#path(key, 'index')]) await rm(path, { force: true });
          this.#indexBytes.delete(sectionId(key));
        }
        await rm(join(this.#folder, `${site}.sealed`), { force: true });
        await syncFolder(this.#folder);
      } catch (error) {
        throw fileError(this.#folder, `delete what site ${site} uploaded`, error);
      }
    });
  }

  async read(picks: readonly RowPick[]): Promise<Tensor<'float32'>> {
    this.#checkOpen();
    const files = new Map<SectionKey, RowFile>();
    const places = picks.map(({ section, row }) => {
      this.#table.checkRow(section, row);
      const file = files.get(section) ?? this.#rowFile(section);
      files.set(section, file);
      return { file, row };
    });
    const rows = new Float32Array(picks.length * this.#table.rowLength);
    await this.#reader.read(new Uint8Array(rows.buffer), places);
    return tensor('float32', [picks.length, ...this.rowDims], rows);
  }

  async close(): Promise<void> {
    this.#closed = true;
    // Whoever began these hears of their errors.
    await Promise.allSettled(this.#writing.values());
    await this.#reader.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #append(chunk: ActivationChunk): Promise<void> {
    this.#table.check(chunk);
    const known = this.#table.place(chunk);
    const sha256 = chunkHash(chunk);
    if (known) {
      if (known.sha256 !== sha256) throw differentChunk(chunk);
      return;
    }
    const firstRow = this.#table.rowCount(chunk);
    const rowsPath = this.#path(chunk, 'rows');
    const indexBytes = this.#indexBytes.get(sectionId(chunk)) ?? 0;
    const line = Buffer.from(indexLine(chunk, sha256));
    try {
      await extend(rowsPath, bytesOf(chunk.activations), firstRow * this.#rowBytes);
      await extend(this.#path(chunk, 'index'), line, indexBytes);
      if (chunk.index === 0) await syncFolder(this.#folder);
    } catch (error) {
      throw fileError(rowsPath, `keep ${describeChunk(chunk)}`, error);
    }
    this.#reader.forget(rowsPath);
    this.#indexBytes.set(sectionId(chunk), indexBytes + line.byteLength);
    this.#table.add(chunk, {
      firstRow,
      rowCount: chunk.labels.length,
      labels: chunk.labels.slice(),
      groups: chunk.groups.slice(),
      sha256,
    });
  }

  async #loadSection(key: SectionKey): Promise<void> {
    const indexPath = this.#path(key, 'index');
    const rowsPath = this.#path(key, 'rows');
    const text = await readFile(indexPath, 'utf8');
    const lines = text.split('\n');
    // What follows the last line's end was never acknowledged.
    lines.pop();
    const rows = await open(rowsPath, 'a+');
    let keptBytes = 0;
    try {
      for (const [index, line] of lines.entries()) {
        const entry = readIndexLine(line, index, this.#table.rowCount(key));
        const problem = typeof entry === 'string' ? entry : await this.#problemOf(rows, key, index, entry);
        if (problem !== undefined || typeof entry === 'string') {
          this.problems.push(`${rowsPath}: chunk ${index}: ${problem}; it and all after it must be sent again`);
          break;
        }
        this.#table.add(key, entry);
        keptBytes += Buffer.byteLength(line) + 1;
      }
    } finally {
      await rows.close();
    }
    await truncate(rowsPath, this.#table.rowCount(key) * this.#rowBytes);
    await truncate(indexPath, keptBytes);
    this.#indexBytes.set(sectionId(key), keptBytes);
  }

  /** What is wrong with a chunk's rows on disk, if anything. */
  async #problemOf(rows: FileHandle, key: SectionKey, index: number, entry: IndexedChunk): Promise<string | undefined> {
    const { size } = await rows.stat();
    const start = entry.firstRow * this.#rowBytes;
    const byteLength = entry.rowCount * this.#rowBytes;
    if (start + byteLength > size) return `its rows end at byte ${size} of ${start + byteLength}`;
    const hash = beginChunkHash(key, index, entry.labels, entry.groups);
    await readAll(rows, new Uint8Array(byteLength), start, (piece) => hash.update(piece));
    return hash.digest('hex') === entry.sha256 ? undefined : 'its checksum does not match its content';
  }

  #inOrder(site: string, work: () => Promise<void>): Promise<void> {
    const before = this.#writing.get(site) ?? Promise.resolve();
    const working = before
      .catch(() => {})
      .then(() => {
        this.#checkOpen();
        return work();
      });
    this.#writing.set(site, working);
    return working;
  }

  #checkOpen(): void {
    if (this.#closed) throw new DataError('bad-file', `${this.#folder}: the activation store is closed`);
  }

  #rowsOf(site: string, id: string): number | undefined {
    return this.#table.sections().find((section) => section.site === site && sectionId(section) === id)?.rowCount;
  }

  #rowFile(key: SectionKey): RowFile {
    return { path: this.#path(key, 'rows'), byteLength: this.#table.rowCount(key) * this.#rowBytes };
  }

  #path(key: SectionKey, ending: 'rows' | 'index'): string {
    return join(this.#folder, `${sectionId(key)}.${ending}`);
  }
}

/** Writes at `position`, which becomes the file's end after the bytes, and makes it durable. */
async function extend(path: string, bytes: Uint8Array, position: number): Promise<void> {
  const file = await open(path, position === 0 ? 'w' : 'r+');
  try {
    await writeAll(file, bytes, position);
    await file.truncate(position + bytes.byteLength);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function parseSealed(text: string): Readonly<Record<string, number>> | undefined {
  try {
    return sealedSchema.parse(JSON.parse(text));
  } catch {
    // A damaged note is no note: the caller reports it.
    return undefined;
  }
}
