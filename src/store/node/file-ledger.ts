// A ledger as files in a folder. An entry is written to the system before the call that adds it returns, so a process that is killed loses
// none. About once a second what was written is sealed: a signature is added to the chain, the file is synced, and the tip is written
// anew, which says where the ledger ends. What a crash of the machine may lose is what came after the last tip.

import { createHash } from 'node:crypto';
import { closeSync, fdatasync, openSync, writeSync } from 'node:fs';
import { readFile, rename, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DataError, toHex } from '../../base/index.ts';
import type { Ledger, LedgerEvent, SentMessage } from '../ledger.ts';
import { atomicWriteFile, makeFolder } from './atomic-file.ts';
import { fileError } from './file-error.ts';
import type { SigningKey } from './key-file.ts';
import {
  chainHash,
  encodeTip,
  type Tip,
  tipName,
  lineBytesMax,
  lineOf,
  noHash,
  sealBytes,
  volumeName,
} from './ledger-format.ts';
import { readTip, volumesOf } from './ledger-files.ts';
import { readTail, type Tail } from './ledger-tail.ts';
import { takeLock } from './lock-file.ts';

export interface FileLedgerOptions {
  /** Milliseconds from an entry to the seal that signs it, at most. Default 1000. */
  readonly sealMs?: number;
  /** Entries after which a seal does not wait for its time. Default 4096. */
  readonly sealEntries?: number;
  /** Bytes after which a new file is begun. Default 64 MiB. */
  readonly volumeBytes?: number;
  /** Keys with which the ledger may have been signed before. */
  readonly formerKeys?: readonly Uint8Array[];
  /** Milliseconds since 1970; default the system's. */
  readonly now?: () => number;
}

const syncData = promisify(fdatasync);

/**
 * Opens a ledger to add to, or begins one in a folder that is made if need be. What a crash left after the last tip is kept as far as it
 * is whole and signed from here on; what is not is put aside. Throws DataError `bad-file` when it cannot be opened, another process has
 * it, it does not reach to its tip, or another key has signed it.
 */
export async function openFileLedger(
  folder: string,
  key: SigningKey,
  options: FileLedgerOptions = {},
): Promise<Ledger> {
  await makeFolder(folder);
  const unlock = await takeLock(join(folder, 'lock'));
  try {
    const tip = (await readTip(folder)) ?? (await firstTip(folder, key));
    const known = [key.publicKey, ...(options.formerKeys ?? [])].map(toHex);
    if (!known.includes(tip.key))
      throw new DataError('bad-file', `${folder}: the ledger is signed by another key, ${tip.key}`);
    const tail = await readTail(folder, tip);
    await putAside(folder, tail);
    // A closed ledger has nothing after its tip, so it is open before the first entry comes.
    if (tip.closed) await writeTip(folder, { ...tip, closed: false, key: toHex(key.publicKey) }, key);
    const ledger = new FileLedger(folder, key, tail, options, unlock);
    await ledger.begin(tail.entries - tip.entries, tail.brokenBytes);
    return ledger;
  } catch (error) {
    await unlock();
    throw error;
  }
}

function writeTip(folder: string, tip: Tip, key: SigningKey): Promise<void> {
  return atomicWriteFile(join(folder, tipName), encodeTip(tip, key), { mode: 0o600 });
}

/** The tip comes before the first entry: a ledger without one has lost it. */
async function firstTip(folder: string, key: SigningKey): Promise<Tip> {
  if ((await volumesOf(folder)).length > 0)
    throw new DataError('bad-file', `${folder}: there are entries, but ${tipName} is missing: keep it for inspection`);
  const tip: Tip = {
    format: 1,
    entries: 0,
    hash: noHash,
    volume: 1,
    bytes: 0,
    closed: false,
    key: toHex(key.publicKey),
  };
  await writeTip(folder, tip, key);
  return tip;
}

/** What stands after the last whole entry goes to a file of its own, for inspection. */
async function putAside(folder: string, tail: Tail): Promise<void> {
  if (tail.brokenBytes === 0) return;
  const aside = (volume: number): string => join(folder, `broken-after-${tail.entries}-${volumeName(volume)}`);
  const path = join(folder, volumeName(tail.volume));
  try {
    const bytes = await readFile(path);
    await atomicWriteFile(aside(tail.volume), bytes.subarray(tail.bytes), { mode: 0o600 });
    await truncate(path, tail.bytes);
    for (const volume of await volumesOf(folder))
      if (volume > tail.volume) await rename(join(folder, volumeName(volume)), aside(volume));
  } catch (error) {
    throw error instanceof DataError ? error : fileError(path, 'put aside what a crash left', error);
  }
}

class FileLedger implements Ledger {
  readonly #folder: string;
  readonly #key: SigningKey;
  readonly #sealMs: number;
  readonly #sealEntries: number;
  readonly #volumeBytes: number;
  readonly #now: () => number;
  readonly #unlock: () => Promise<void>;
  #entries: number;
  #hash: string;
  #volume: number;
  #bytes: number;
  #file: number;
  /** Full files that are not synced yet. */
  #full: number[] = [];
  #unsealed = 0;
  #timer: NodeJS.Timeout | undefined;
  #settling: Promise<void> | undefined;
  /** The tip on disk is older than the last seal. */
  #tipIsOld = true;
  #failure: DataError | undefined;
  #closing: Promise<void> | undefined;

  constructor(folder: string, key: SigningKey, tail: Tail, options: FileLedgerOptions, unlock: () => Promise<void>) {
    this.#folder = folder;
    this.#key = key;
    this.#sealMs = options.sealMs ?? 1000;
    this.#sealEntries = options.sealEntries ?? 4096;
    this.#volumeBytes = options.volumeBytes ?? 64 * 2 ** 20;
    this.#now = options.now ?? Date.now;
    this.#unlock = unlock;
    this.#entries = tail.entries;
    this.#hash = tail.hash;
    this.#volume = tail.volume;
    this.#bytes = tail.bytes;
    this.#file = this.#openVolume(tail.volume);
  }

  /** Says who signs, and what a crash left: entries that were not signed, and bytes that are no entry. */
  async begin(unsigned: number, brokenBytes: number): Promise<void> {
    const left = { ...(unsigned > 0 ? { unsigned } : {}), ...(brokenBytes > 0 ? { brokenBytes } : {}) };
    this.#add({ what: 'opened', format: 1, key: toHex(this.#key.publicKey), ...left });
    await this.sync();
  }

  append(event: LedgerEvent): void {
    this.#checkOpen();
    this.#add(event);
  }

  appendSent(message: SentMessage, frame: readonly Uint8Array[]): void {
    this.#checkOpen();
    const { kind, sequence, epoch, step, part, chunk, tensors, records, again } = message;
    const hash = createHash('sha256');
    let bytes = 0;
    for (const piece of frame) {
      hash.update(piece);
      bytes += piece.byteLength;
    }
    this.#add({
      what: 'sent',
      kind,
      sequence,
      epoch,
      step,
      part,
      chunk,
      tensors,
      records,
      ...(again ? { again } : {}),
      bytes,
      sha256: hash.digest('hex'),
    });
  }

  async sync(): Promise<void> {
    this.#checkOpen();
    await this.#settle();
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
      if (this.#failure) throw this.#failure;
      await this.#settle();
      await this.#writeTip(true);
    } finally {
      clearTimeout(this.#timer);
      for (const file of [...this.#full, this.#file]) closeSync(file);
      await this.#unlock();
    }
  }

  #add(event: Readonly<Record<string, unknown>> | LedgerEvent): void {
    if (this.#bytes >= this.#volumeBytes) this.#beginVolume();
    const number = this.#entries + 1;
    const json = JSON.stringify({ n: number, at: new Date(this.#now()).toISOString(), ...event });
    const hash = chainHash(this.#hash, json);
    const line = Buffer.from(lineOf(hash, json));
    if (line.length > lineBytesMax) throw new DataError('bad-data', `an entry of ${line.length} bytes for the ledger`);
    this.#write(line);
    this.#entries = number;
    this.#hash = hash;
    this.#unsealed += 1;
    if (this.#unsealed >= this.#sealEntries) this.#sealSoon(0);
    else this.#sealSoon(this.#sealMs);
  }

  #write(line: Uint8Array): void {
    try {
      for (let done = 0; done < line.length;) done += writeSync(this.#file, line, done);
      this.#bytes += line.length;
    } catch (error) {
      this.#fail(error);
    }
  }

  #sealSoon(ms: number): void {
    if (this.#timer && ms > 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#settle().catch(() => undefined), ms);
    this.#timer.unref();
  }

  /** Signs what is not signed, and brings files and tip to the disk; one at a time. The error is kept for the next caller. */
  async #settle(): Promise<void> {
    while (this.#settling) await this.#settling;
    if (this.#failure) throw this.#failure;
    this.#settling = this.#seal().finally(() => (this.#settling = undefined));
    await this.#settling;
  }

  async #seal(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#unsealed > 0) {
      const signature = toHex(this.#key.sign(sealBytes(this.#entries + 1, this.#hash)));
      this.#add({ what: 'seal', signature });
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#unsealed = 0;
      this.#tipIsOld = true;
    }
    if (this.#tipIsOld) await this.#writeTip(false);
  }

  async #writeTip(closed: boolean): Promise<void> {
    const tip: Tip = {
      format: 1,
      entries: this.#entries,
      hash: this.#hash,
      volume: this.#volume,
      bytes: this.#bytes,
      closed,
      key: toHex(this.#key.publicKey),
    };
    const full = [...this.#full];
    const file = this.#file;
    this.#tipIsOld = false;
    try {
      for (const one of full) {
        await syncData(one);
        this.#full.shift();
        closeSync(one);
      }
      await syncData(file);
      await writeTip(this.#folder, tip, this.#key);
    } catch (error) {
      this.#fail(error);
    }
  }

  #beginVolume(): void {
    const first = this.#entries + 1;
    const file = this.#openVolume(first);
    this.#full.push(this.#file);
    this.#volume = first;
    this.#bytes = 0;
    this.#file = file;
  }

  #openVolume(firstEntry: number): number {
    try {
      return openSync(join(this.#folder, volumeName(firstEntry)), 'a', 0o600);
    } catch (error) {
      return this.#fail(error);
    }
  }

  #fail(error: unknown): never {
    this.#failure ??= error instanceof DataError ? error : fileError(this.#folder, 'write the ledger', error);
    throw this.#failure;
  }

  #checkOpen(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closing) throw new DataError('bad-file', `${this.#folder}: the ledger is closed`);
  }
}
