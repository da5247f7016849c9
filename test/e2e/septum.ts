// The built command line as a user runs it: real processes, temporary folders.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { afterAll, afterEach } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const command = join(root, 'dist/cli/main.js');

/** What a command did. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Standard output and error so far. */
  said(): string;
  /** Resolves with the match when the command has said it; rejects when it ends before. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

const running = new Set<ChildProcess>();
const folders: string[] = [];

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A temporary folder, gone after the file's tests. */
export function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'septum-e2e-'));
  folders.push(made);
  return made;
}

export interface StartOptions {
  readonly cwd?: string;
  /** Options of Node's. */
  readonly node?: readonly string[];
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the process, with its arguments: it gets Node's after them. */
  readonly within?: readonly string[];
  /** What is on standard input; default: nothing. */
  readonly input?: string;
}

/** Starts `septum ARGUMENTS…`. */
export function start(commandArguments: readonly string[], options: StartOptions = {}): Running {
  requireFreshBuild();
  const whole = [...(options.within ?? []), process.execPath, ...(options.node ?? []), command, ...commandArguments];
  const child = spawn(whole[0] as string, whole.slice(1), {
    cwd: options.cwd,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...options.env },
  });
  child.stdin?.end(options.input);
  running.add(child);
  let [stdout, stderr] = ['', ''];
  const listeners = new Set<() => void>();
  const heard = (): void => {
    for (const listener of listeners) listener();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    heard();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    heard();
  });
  const ended = new Promise<Ended>((settle, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      running.delete(child);
      settle({ code, signal, stdout, stderr });
      heard();
    });
  });
  const said = (): string => `${stdout}\n${stderr}`;
  const says = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((settle, reject) => {
      const look = (): void => {
        const found = pattern.exec(said());
        if (!found && running.has(child)) return;
        listeners.delete(look);
        if (found) settle(found);
        else reject(new Error(`the command ended and did not say ${pattern}:\n${said()}`));
      };
      listeners.add(look);
      look();
    });
  return { child, ended, said, says };
}

/** Runs `septum ARGUMENTS…` to its end. */
export function septum(commandArguments: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return start(commandArguments, options).ended;
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when none of the processes is left. Only they say when, so it asks again and again; the test's own time ends it. */
export async function expectAllGone(pids: readonly number[]): Promise<void> {
  while (pids.some(isAlive)) await new Promise((settle) => setTimeout(settle, 50));
}

/** The processes that a run has started so far, by name. */
export function processesOf(said: string): Record<string, number> {
  return Object.fromEntries(
    Array.from(said.matchAll(/^(\S+) started \(process (\d+)\)$/gm), ([, name, pid]) => [name, Number(pid)]),
  );
}

/** A built command that is older than its sources would test something else. */
function requireFreshBuild(): void {
  const newestSource = newest(join(root, 'src'), (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const built = statSync(command, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (built < newestSource.ms)
    throw new Error(`dist is older than ${relative(root, newestSource.path)}: run "npm run build" first`);
}

function newest(where: string, wanted: (name: string) => boolean): { readonly path: string; readonly ms: number } {
  let found = { path: where, ms: 0 };
  for (const entry of readdirSync(where, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !wanted(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    const ms = statSync(path).mtimeMs;
    if (ms > found.ms) found = { path, ms };
  }
  return found;
}
