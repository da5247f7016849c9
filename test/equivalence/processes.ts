// A test's study as processes: a server and its sites, each started from party.ts, over WebSockets on loopback.

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ServerResult } from '../../src/server/index.ts';
import type { SiteResult } from '../../src/site/index.ts';
import type { TestStudy } from '../harness/study.ts';
import type { Role, Told } from './party.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where this run's compiled files are; inside node_modules, so that they find their packages. */
const compiled = join(root, `node_modules/.cache/septum-test-${process.pid}`);

/** Compiles party.ts and what it needs, for a process runs JavaScript. */
export async function compileParties(): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const project = join(root, 'test/equivalence/tsconfig.processes.json');
  await promisify(execFile)(process.execPath, [tsc, '-p', project, '--outDir', compiled]);
}

export async function removeCompiled(): Promise<void> {
  await rm(compiled, { recursive: true, force: true });
}

/** One process of a study. */
export class Party {
  readonly #child: ChildProcess;
  readonly told: Told[] = [];
  #listeners: (() => void)[] = [];
  #ended: { code: number | null } | undefined;

  constructor(role: Role) {
    this.#child = fork(join(compiled, 'test/equivalence/party.js'), {
      serialization: 'advanced',
    });
    this.#child.on('message', (told) => {
      this.told.push(told as Told);
      this.#notify();
    });
    this.#child.on('exit', (code) => {
      this.#ended = { code };
      this.#notify();
    });
    this.#child.send(role);
  }

  /** The first thing told, from the start on, that `find` accepts. Rejects when the process ends without it. */
  async heard<T>(find: (told: Told, index: number) => T | undefined): Promise<T> {
    for (let index = 0; ; index++) {
      while (index >= this.told.length) {
        if (this.#ended) throw new Error(`the process ended with ${this.#ended.code} and did not tell`);
        await new Promise<void>((resolve) => this.#listeners.push(resolve));
      }
      const found = find(this.told[index]!, index);
      if (found !== undefined) return found;
    }
  }

  /** Ends the process at once, as a power cut would. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#ended) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  #notify(): void {
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** The processes of one study; `close` kills what still runs and removes what the server kept. */
export class Parties {
  readonly #test: TestStudy;
  readonly #dir: string;
  readonly #parties: Party[] = [];
  #address = '';
  server!: Party;

  private constructor(test: TestStudy, dir: string) {
    this.#test = test;
    this.#dir = dir;
  }

  /** Starts the server. */
  static async open(test: TestStudy): Promise<Parties> {
    const parties = new Parties(test, await mkdtemp(join(tmpdir(), 'septum-parties-')));
    await parties.#listen();
    return parties;
  }

  site(index: number): Party {
    return this.#start({ role: 'site', test: this.#test, index, address: this.#address });
  }

  async close(): Promise<void> {
    await Promise.all(this.#parties.map((party) => party.kill()));
    await rm(this.#dir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(): Promise<void> {
    this.server = this.#start({ role: 'server', test: this.#test, activationsDir: this.#dir });
    this.#address = await this.server.heard((told) => (told.kind === 'listening' ? told.address : undefined));
  }

  #start(role: Role): Party {
    const party = new Party(role);
    this.#parties.push(party);
    return party;
  }
}

/** Waits for a server's result. */
export function serverResult(party: Party): Promise<ServerResult> {
  return party.heard((told) => (told.kind === 'server-result' ? told.result : undefined));
}

/** Waits for a site's result. */
export function siteResult(party: Party): Promise<SiteResult> {
  return party.heard((told) => (told.kind === 'site-result' ? told.result : undefined));
}
