// A core in a worker thread. Replies come in the order of the requests, so a queue of promises is all that pairs them.

import type { Worker } from 'node:worker_threads';
import { EngineError, messageOf } from '../../base/index.ts';
import type { Channel } from './channel.ts';
import type { Reply, Request } from './messages.ts';

interface Pending {
  resolve(reply: Reply): void;
  reject(error: EngineError): void;
}

/** The calling thread's end. An idle worker does not keep the process alive; one with work to do does. */
export class WorkerChannel implements Channel {
  readonly #worker: Worker;
  readonly #pending: Pending[] = [];
  readonly #exit: Promise<void>;
  #closed: EngineError | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.unref();
    worker.on('message', (reply: Reply) => this.#settle(reply));
    worker.on('messageerror', (error) => this.#fail('its answer could not be read', error));
    worker.on('error', (error) => this.#fail('its thread failed', error));
    this.#exit = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#fail(`its thread ended with code ${code}`);
        resolve();
      });
    });
  }

  async send(request: Request, transfer: readonly ArrayBuffer[]): Promise<Reply> {
    if (this.#closed) throw this.#closed;
    this.#post(request, transfer);
    return new Promise((resolve, reject) => {
      if (this.#pending.push({ resolve, reject }) === 1) this.#worker.ref();
    });
  }

  async ended(): Promise<void> {
    this.#worker.ref();
    await this.#exit;
  }

  // A buffer that Node has marked as not transferable (a slice of its pool) is copied, as on Node 20, which does so by itself.
  #post(request: Request, transfer: readonly ArrayBuffer[]): void {
    try {
      this.#worker.postMessage(request, transfer);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'DataCloneError')) throw error;
      this.#worker.postMessage(request);
    }
  }

  #settle(reply: Reply): void {
    this.#pending.shift()?.resolve(reply);
    if (this.#pending.length === 0) this.#worker.unref();
  }

  #fail(problem: string, cause?: unknown): void {
    const reason = cause === undefined ? '' : `: ${messageOf(cause)}`;
    this.#closed ??= new EngineError('engine-closed', `the engine is closed: ${problem}${reason}`, { cause });
    for (const call of this.#pending.splice(0)) call.reject(this.#closed);
  }
}
