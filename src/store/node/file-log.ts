// A log as a file of lines. What is written gathers in a bounded buffer and goes out in the background, many lines at once.

import { open, type FileHandle } from 'node:fs/promises';
import { DataError } from '../../base/index.ts';
import { encodeJson, type Json } from '../json.ts';
import type { Log } from '../log.ts';
import { readAll, writeAll } from './file-bytes.ts';
import { fileError, isMissing } from './file-error.ts';

export interface FileLogOptions {
  /** Bytes that may wait to be written before `write` makes its caller wait. Default 1 MiB. */
  readonly bufferBytesMax?: number;
}

/** Opens a log to append to, or begins one. A last line that a crash left unfinished is cut off. Throws DataError `bad-file`. */
export async function openFileLog(path: string, options: FileLogOptions = {}): Promise<Log> {
  try {
    const file = await open(path, 'a+');
    const { size } = await file.stat();
    const end = await endOfLastLine(file, size);
    if (end < size) await file.truncate(end);
    return new FileLog(path, file, options.bufferBytesMax ?? 2 ** 20);
  } catch (error) {
    throw fileError(path, 'open the log', error);
  }
}

/** The entries of a log, in order, without a last line that is unfinished; none if there is no such file. Throws DataError `bad-file`. */
export async function* readFileLog(path: string): AsyncGenerator<Json> {
  const lines = openLines(path);
  let number = 0;
  for await (const line of lines) {
    number += 1;
    try {
      yield JSON.parse(line) as Json;
    } catch (error) {
      throw fileError(path, `read line ${number}`, error);
    }
  }
}

const blockBytes = 64 * 1024;
const newline = 0x0a;

async function* openLines(path: string): AsyncGenerator<string> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return;
    throw fileError(path, 'read', error);
  }
  try {
    let pieces: Buffer[] = [];
    for (let position = 0; ;) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(blockBytes), 0, blockBytes, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      let start = 0;
      for (let end = buffer.indexOf(newline); end !== -1 && end < bytesRead; end = buffer.indexOf(newline, start)) {
        yield Buffer.concat([...pieces, buffer.subarray(start, end)]).toString('utf8');
        pieces = [];
        start = end + 1;
      }
      pieces.push(buffer.subarray(start, bytesRead));
    }
  } finally {
    await file.close();
  }
}

class FileLog implements Log {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #bufferBytesMax: number;
  #buffer: Buffer[] = [];
  #bufferBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: DataError | undefined;
  #closing: Promise<void> | undefined;

  constructor(path: string, file: FileHandle, bufferBytesMax: number) {
    this.#path = path;
    this.#file = file;
    this.#bufferBytesMax = bufferBytesMax;
  }

  async write(entry: Json): Promise<void> {
    const line = Buffer.from(`${encodeJson(entry)}\n`);
    this.#checkOpen();
    this.#buffer.push(line);
    this.#bufferBytes += line.byteLength;
    const writing = this.#start();
    if (this.#bufferBytes > this.#bufferBytesMax) await writing;
  }

  async sync(): Promise<void> {
    this.#checkOpen();
    await this.#flush();
    await this.#file.datasync().catch((error: unknown) => this.#fail(error));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#flush();
    } finally {
      await this.#file.close();
    }
  }

  async #flush(): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#bufferBytes > 0 || this.#writing) await this.#start();
  }

  /** Writes until the buffer is empty; one loop at a time. The loop's error is kept for the next caller. */
  #start(): Promise<void> {
    if (!this.#writing) {
      this.#writing = this.#drain().finally(() => (this.#writing = undefined));
      this.#writing.catch(() => {});
    }
    return this.#writing;
  }

  async #drain(): Promise<void> {
    // Entries of the same moment go out together.
    await Promise.resolve();
    while (this.#buffer.length > 0) {
      const lines = Buffer.concat(this.#buffer);
      this.#buffer = [];
      try {
        await writeAll(this.#file, lines);
      } catch (error) {
        this.#fail(error);
      }
      this.#bufferBytes -= lines.byteLength;
    }
  }

  #fail(error: unknown): never {
    this.#failure ??= fileError(this.#path, 'write the log', error);
    throw this.#failure;
  }

  #checkOpen(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closing) throw new DataError('bad-file', `${this.#path}: the log is closed`);
  }
}

/** The position after the last newline. */
async function endOfLastLine(file: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - blockBytes);
    const block = Buffer.alloc(end - start);
    await readAll(file, block, start);
    const last = block.lastIndexOf(newline);
    if (last !== -1) return start + last + 1;
    end = start;
  }
  return 0;
}
