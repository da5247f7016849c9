// Child processes that host parties (host.ts), seen from the test.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { TestStudy } from '../harness/study.ts';
import type { FuzzOrder, FuzzResult } from './fuzz.ts';
import type { Answer, Order, ServerSetup } from './host.ts';
import type { Outcome } from './party.ts';

type Unnumbered<O> = O extends Order ? Omit<O, 'id'> : never;

/** The host's program as one JavaScript file; Node 20 runs no TypeScript. */
export async function bundleHost(): Promise<string> {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const outDir = `${root}node_modules/.cache/septum-faults-${process.pid}`;
  await build({
    configFile: false,
    root,
    logLevel: 'error',
    build: {
      ssr: `${root}test/faults/host.ts`,
      outDir,
      target: 'node20',
      minify: false,
      rolldownOptions: { output: { entryFileNames: 'host.mjs' } },
    },
  });
  return outDir;
}

/** One such process. */
export class Host {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #orders = 0;
  #exit: Error | undefined;

  /** `heapMb`: the most that V8 may hold, garbage included. Without it V8 lets garbage lie while the machine has memory. */
  constructor(program: string, { heapMb }: { readonly heapMb?: number } = {}) {
    const heap = heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`];
    // One heap of the C library: what threads leave free in theirs is no growth of the program. It collects as the processes of a server
    // and of sites do (src/study/run/collector.ts): what is marked in small steps on a busy machine stays long.
    this.#child = fork(program, {
      execArgv: ['--expose-gc', '--max-semi-space-size=4', '--no-incremental-marking', ...heap],
      stdio: 'inherit',
      env: { MALLOC_ARENA_MAX: '1', ...process.env },
    });
    this.#child.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer));
    this.#child.on('exit', (code, signal) => {
      this.#exit = new Error(`the host ended with ${code ?? signal}`);
      for (const [id, give] of this.#waiting)
        give({ id, kind: 'failed', error: { name: 'exit', code: 'internal', message: this.#exit.message } });
    });
  }

  /** Whether the process lives. */
  get alive(): boolean {
    return this.#exit === undefined;
  }

  /** Starts a study's server. */
  async server(
    study: TestStudy,
    setup: ServerSetup = {},
  ): Promise<{ readonly url: string; readonly ended: Promise<Outcome> }> {
    let listening: (url: string) => void = () => undefined;
    const url = new Promise<string>((resolve) => (listening = resolve));
    const ended = this.#order({ kind: 'server', study, ...setup }, (answer) => {
      if (answer.kind === 'listening') listening(answer.url);
    }).then(outcomeOf);
    return { url: await Promise.race([url, ended.then(() => '')]), ended };
  }

  /** Runs one site of a study to its end. */
  async site(study: TestStudy, index: number, url: string): Promise<Outcome> {
    return outcomeOf(await this.#order({ kind: 'site', study, index, url }));
  }

  /** Attacks studies within the process. */
  async fuzz(order: FuzzOrder): Promise<FuzzResult> {
    const answer = await this.#order({ kind: 'fuzz', ...order });
    if (answer.kind === 'fuzzed') return answer.result;
    throw new Error(answer.kind === 'failed' ? answer.error.message : answer.kind);
  }

  async memory(): Promise<{ readonly residentBytes: number; readonly peakBytes: number }> {
    const answer = await this.#order({ kind: 'memory' });
    if (answer.kind !== 'memory') throw new Error('the host does not tell its memory');
    return answer;
  }

  async close(): Promise<void> {
    if (!this.alive) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    await gone;
  }

  #order(order: Unnumbered<Order>, onWord: (answer: Answer) => void = () => undefined) {
    const id = (this.#orders += 1);
    return new Promise<Answer>((resolve, reject) => {
      if (this.#exit) throw this.#exit;
      this.#waiting.set(id, (answer) => {
        onWord(answer);
        if (answer.kind === 'listening') return;
        this.#waiting.delete(id);
        resolve(answer);
      });
      this.#child.send({ id, ...order }, (error) => {
        if (error) reject(error);
      });
    });
  }
}

function outcomeOf(answer: Answer): Outcome {
  if (answer.kind === 'ended') return answer.outcome;
  const told =
    answer.kind === 'failed' ? `${answer.error.name} ${answer.error.code}: ${answer.error.message}` : answer.kind;
  throw new Error(`a party failed: ${told}`);
}
