// How long a process takes for a step, and what it does in that time: its engine's share and its own thread's.

import { performance } from 'node:perf_hooks';
import { BusyTime } from '../../base/index.ts';
import { type Engine, watchEngine } from '../../engine/index.ts';

/** Totals since the process started, at the end of a step. */
export interface StepTimes {
  readonly steps: number;
  /** Wall time. */
  readonly ms: number;
  /** Time in which the engine had work. */
  readonly engineMs: number;
  /** Time in which the process's own thread was busy: messages, copies, batches; with an engine in that thread its work too. */
  readonly threadMs: number;
  /** Processor time of all its threads. */
  readonly processorMs: number;
}

/** Counts steps, and takes the times when `at` of them are done. */
export class StepTimer {
  readonly #at: ReadonlySet<number>;
  readonly #take: (times: StepTimes) => void;
  readonly #start = performance.eventLoopUtilization();
  readonly #engine = new BusyTime(() => performance.now());
  #steps = 0;

  constructor(at: readonly number[], take: (times: StepTimes) => void) {
    this.#at = new Set(at);
    this.#take = take;
  }

  step(): void {
    this.#steps += 1;
    if (!this.#at.has(this.#steps)) return;
    const { active } = performance.eventLoopUtilization(this.#start);
    const { user, system } = process.cpuUsage();
    this.#take({
      steps: this.#steps,
      ms: performance.now(),
      engineMs: this.#engine.ms,
      threadMs: active,
      processorMs: (user + system) / 1000,
    });
  }

  /** The engine, with its work timed. */
  watch(engine: Engine): Engine {
    return watchEngine(engine, (_, work) => this.#engine.during(work));
  }
}
