// Disks that are full or read-only, for real: file systems in memory, of a stated size, which only the processes that are started on them
// see (a mount namespace of Linux's). Where the system lets an ordinary user have a user namespace no rights are needed.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StartOptions } from '../e2e/septum.ts';
import type { StateFolder } from './process-study.ts';

const unshare = ['unshare', '--user', '--map-root-user', '--mount'];

/** Why there are no such disks here; undefined where there are. */
export function whyNoDisks(): string | undefined {
  if (process.platform !== 'linux') return 'disks of a stated size are made with namespaces of Linux';
  const tried = [...unshare, 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/proc'];
  const { status, stderr, error } = spawnSync(tried[0] as string, tried.slice(1), { encoding: 'utf8' });
  return status === 0 ? undefined : `no namespaces for this user: ${error?.message ?? stderr.trim()}`;
}

/** A process that has a view of the file system of its own, with small disks in it. */
export class SmallDisks implements AsyncDisposable {
  readonly #holder: ChildProcess;
  readonly #pid: number;

  private constructor(holder: ChildProcess, pid: number) {
    this.#holder = holder;
    this.#pid = pid;
  }

  static async open(): Promise<SmallDisks> {
    // It ends with its standard input, and so with the test.
    const holder = spawn(unshare[0] as string, [...unshare.slice(1), 'sh', '-c', 'echo ready; exec cat']);
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve());
      holder.once('exit', () => reject(new Error('the process that holds the disks ended')));
    });
    return new SmallDisks(holder, holder.pid as number);
  }

  /** What processes that are to see the disks are started with. */
  get options(): StartOptions {
    return { within: ['nsenter', '--target', String(this.#pid), '--user', '--mount', '--preserve-credentials'] };
  }

  /** An empty disk at `path`, a folder that is made if need be; without a size there is room for all. */
  mount(path: string, bytes?: number): StateFolder {
    mkdirSync(path, { recursive: true });
    // Also where the folder is on another of the disks.
    this.run('mkdir', '-p', path);
    this.run('mount', '-t', 'tmpfs', '-o', `mode=700${bytes === undefined ? '' : `,size=${bytes}`}`, 'tmpfs', path);
    return { forProcess: path, forTest: this.seen(path) };
  }

  /** Makes room. */
  enlarge(path: string): void {
    this.#remount(path, 'size=64m');
  }

  setReadOnly(path: string, isReadOnly: boolean): void {
    this.#remount(path, isReadOnly ? 'ro' : 'rw');
  }

  /** With the disk's name the command adds none of the options that it finds, among which is an owner that the namespace does not know. */
  #remount(path: string, options: string): void {
    this.run('mount', '-t', 'tmpfs', '-o', `remount,${options}`, 'tmpfs', path);
  }

  /** Fills a disk to its last byte but `leaving`. */
  fill(path: string, leaving = 0): void {
    const ballast = join(this.seen(path), 'ballast');
    for (let bytes = 1 << 20; bytes >= 4096; bytes /= 2) {
      for (;;) {
        try {
          writeFileSync(ballast, Buffer.alloc(bytes), { flag: 'a' });
        } catch {
          break; // Full, as far as pieces of this size go.
        }
      }
    }
    this.run('truncate', '--size', `-${Math.min(leaving, statSync(ballast).size)}`, join(path, 'ballast'));
  }

  /** Where the test sees a path of theirs. */
  seen(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /** Runs a command that sees the disks; it has to end well. */
  run(...command: readonly string[]): string {
    const [program = '', ...more] = [...(this.options.within ?? []), ...command];
    const { status, stdout, stderr, error } = spawnSync(program, more, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command.join(' ')}: ${error?.message ?? stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#holder.once('exit', resolve));
    this.#holder.stdin?.end();
    await gone;
  }
}

/** What a folder's files take on a disk, in whole pages of 4 KiB. */
export function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) bytes += Math.ceil(statSync(join(entry.parentPath, entry.name)).size / 4096) * 4096;
  return bytes;
}
