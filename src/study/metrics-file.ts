// metrics.json: the figures of a run, or of an evaluation (SEMANTICS.md, "Evaluation and selection").

import type { Part } from '../data/index.ts';
import type { Metrics } from '../metrics/index.ts';
import type { Method, Plan } from '../protocol/index.ts';
import type { PartMetrics, ServerResult } from '../server/index.ts';
import { methodOf } from './model-description.ts';

/** One part's figures. */
export interface SplitMetrics {
  readonly overall: Metrics;
  /** By site; null for a site that reports nothing, for it has too few records of a class. Empty for data of no site. */
  readonly sites: Readonly<Record<string, Metrics | null>>;
}

/** metrics.json. */
export interface MetricsFile {
  readonly study: string;
  /** Null where the choices are those of no preset. */
  readonly method: Method | null;
  readonly seed: number;
  /** By part; a part without records is left out. */
  readonly splits: Readonly<Partial<Record<Part, SplitMetrics>>>;
  /** From the sites to the server, all frames included; 0 in an evaluation. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Wall time of the training steps, validation left out; of an evaluation, the whole of it. */
  readonly seconds: number;
  /** Training records over `seconds`; null in an evaluation. */
  readonly samplesPerSecond: number | null;
}

/** The figures of a finished run. */
export function metricsOfRun(plan: Plan, result: ServerResult): MetricsFile {
  const split = (part: Part, metrics: PartMetrics | null) =>
    metrics ? { [part]: { overall: metrics.overall, sites: metrics.sites } } : {};
  return {
    study: plan.study,
    method: methodOf(plan.choices),
    seed: plan.seed,
    splits: { ...split('test', result.test), ...split('val', result.val) },
    bytesUp: result.bytesUp,
    bytesDown: result.bytesDown,
    seconds: result.trainSeconds,
    samplesPerSecond: result.trainSeconds > 0 ? result.trainRecords / result.trainSeconds : null,
  };
}

/** The file's text. JSON has no infinities: such a figure is null. */
export function metricsText(metrics: MetricsFile): string {
  return `${JSON.stringify(metrics, null, 2)}\n`;
}
