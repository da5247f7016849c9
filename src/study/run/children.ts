// The processes of a run, seen from the one that starts them: real `septum server` and `septum site` commands with a channel each.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { messageOf, SeptumError } from '../../base/index.ts';
import { allocatorEnvironment } from '../../engine/node/index.ts';
import { endWord } from './child.ts';
import type { Report } from './reports.ts';

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last of what it wrote to standard error. */
  readonly errorText: string;
}

export interface Child {
  /** `server`, or the site's name. */
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process is gone and everything it reported was handled. */
  readonly ended: Promise<Ending>;
}

/** How long children may take to end in order before they are killed. */
const graceMs = 5000;
const errorTextMost = 8192;

/** All children of a run. None outlives `endAll`; and each ends by itself when its channel closes, should this process be killed. */
export class Children {
  readonly #running = new Map<ChildProcess, Child>();

  /** Starts `septum ARGUMENTS…`. Throws SeptumError `no-process` when it cannot be started. */
  async start(name: string, commandArguments: readonly string[], onReport: (report: Report) => void): Promise<Child> {
    const child = spawn(process.execPath, [commandFile(), ...commandArguments], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...allocatorEnvironment, ...process.env },
    });
    let errorText = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errorText = (errorText + text).slice(-errorTextMost);
    });
    child.on('message', (reports) => {
      for (const report of reports as readonly Report[]) onReport(report);
    });
    const disconnected = new Promise((resolve) => child.once('disconnect', resolve));
    const exited = new Promise<Ending>((resolve) =>
      child.once('exit', (code, signal) => void disconnected.then(() => resolve({ code, signal, errorText }))),
    );
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new SeptumError('no-process', `${name}: cannot start a process: ${messageOf(cause)}`, { cause })),
      );
    });
    const known: Child = { name, pid: child.pid ?? 0, ended: exited };
    this.#running.set(child, known);
    void exited.then(() => this.#running.delete(child));
    return known;
  }

  /** Ends every child: asks first, then kills. Resolves when all are gone. */
  async endAll(): Promise<void> {
    const running = [...this.#running];
    for (const [child] of running) if (child.connected) child.send(endWord, () => undefined);
    const killing = setTimeout(() => {
      for (const [child] of running) child.kill('SIGKILL');
    }, graceMs);
    await Promise.all(running.map(([, { ended }]) => ended));
    clearTimeout(killing);
  }
}

// When this file is run from the TypeScript sources (tests), the built command is taken.
function commandFile(): string {
  const here = import.meta.url;
  const file = fileURLToPath(
    here.endsWith('.ts') ? new URL('../../../dist/cli/main.js', here) : new URL('../../cli/main.js', here),
  );
  if (!existsSync(file)) throw new SeptumError('no-process', `${file} does not exist; run "npm run build" first`);
  return file;
}
