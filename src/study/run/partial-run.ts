// What a run has shown so far: enough for figures when it does not reach its end.

import type { Plan } from '../../protocol/index.ts';
import type { EpochRecord } from '../../server/index.ts';
import type { MetricsFile } from '../metrics-file.ts';
import { methodOf } from '../model-description.ts';
import type { RunEvent } from './run-study.ts';

export class PartialRun {
  readonly #plan: Plan;
  readonly history: EpochRecord[] = [];
  #bytesUp = 0;
  #bytesDown = 0;
  #records = 0;
  #firstStepMs: number | undefined;
  #lastStepMs = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  take(event: RunEvent): void {
    if (event.kind !== 'report') return;
    const { report } = event;
    if (report.kind === 'traffic') {
      this.#bytesUp = report.bytesUp;
      this.#bytesDown = report.bytesDown;
    } else if (report.kind === 'server' && report.event.kind === 'epoch') {
      this.history.push(report.event.record);
    } else if (report.kind === 'server' && report.event.kind === 'resumed') {
      this.history.splice(0, this.history.length, ...report.event.history);
    } else if (report.kind === 'server' && report.event.kind === 'step') {
      this.#records += report.event.report.records;
      this.#lastStepMs = performance.now();
      this.#firstStepMs ??= this.#lastStepMs;
    }
  }

  /** Figures of the best epoch so far; there are none of the test part. Times are as this process saw them. */
  metrics(): MetricsFile {
    const val = this.history.findLast(({ best }) => best)?.val;
    const seconds = (this.#lastStepMs - (this.#firstStepMs ?? this.#lastStepMs)) / 1000;
    return {
      study: this.#plan.study,
      method: methodOf(this.#plan.choices),
      seed: this.#plan.seed,
      splits: val ? { val: { overall: val.overall, sites: val.sites } } : {},
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      seconds,
      samplesPerSecond: seconds > 0 ? this.#records / seconds : null,
    };
  }
}
