// What a report is made from.

import type { ClassificationMetrics, Metrics } from '../../metrics/index.ts';
import type { Plan } from '../../protocol/index.ts';
import type { EpochRecord } from '../../server/index.ts';
import type { Dealing } from '../dealing.ts';
import type { MetricsFile } from '../metrics-file.ts';
import type { Strip } from './strip.ts';

/** Another model's figures, shown under the study's. */
export interface Baseline {
  readonly name: string;
  readonly splits: Readonly<Partial<Record<'val' | 'test', Metrics>>>;
}

/** What one process of a run did. */
export interface ProcessFigures {
  readonly name: string;
  /** Milliseconds of computing and of waiting for others. */
  readonly computedMs?: number | undefined;
  readonly waitedMs?: number | undefined;
  /** Largest resident set. */
  readonly peakBytes?: number | undefined;
}

/** What a report is made from. */
export interface ReportContent {
  readonly plan: Plan;
  readonly metrics: MetricsFile;
  /** The counts that dealing reached; absent where sites brought their own records. */
  readonly dealing?: Dealing | undefined;
  /** The records are computed, not real. */
  readonly synthetic: boolean;
  /** What was skipped and what a careful reader should know, a line each. */
  readonly remarks: readonly string[];
  readonly history: readonly EpochRecord[];
  /** Index of the epoch that was kept; -1 where none was. */
  readonly bestEpoch: number;
  /** From start to end, start-up and validation included. */
  readonly seconds: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly baselines?: readonly Baseline[] | undefined;
  readonly processes?: readonly ProcessFigures[] | undefined;
  readonly strip?: Strip | undefined;
  /** Why the run did not reach its end. */
  readonly stopped?: string | undefined;
}

/** Whether figures are those of classes. */
export function isClassification(metrics: Metrics): metrics is ClassificationMetrics {
  return 'auc' in metrics;
}
