// What a process of a study tells the process that started it, over Node's channel between parent and child. No record, label or file
// name of a site is in it.

import { ConfigError, DataError, messageOf, SeptumError } from '../../base/index.ts';
import type { EngineInfo } from '../../engine/index.ts';
import type { ServerEvent, ServerResult } from '../../server/index.ts';
import type { SiteEvent, SiteResult } from '../../site/index.ts';
import type { StepTimes } from './step-times.ts';

/** The server's result without its tensors, which go through a file. */
export type ServerFigures = Omit<ServerResult, 'trunk' | 'segments'>;
export type SiteFigures = Omit<SiteResult, 'trunk' | 'segment' | 'standardisation' | 'classCounts'>;

export type Report =
  | { readonly kind: 'engine'; readonly info: EngineInfo }
  /** A graph runs as it is, and not in the form that would be faster. */
  | { readonly kind: 'not-lowered'; readonly graph: string; readonly reason: string }
  | { readonly kind: 'server'; readonly event: ServerEvent }
  | { readonly kind: 'site'; readonly event: SiteEvent }
  | {
      readonly kind: 'traffic';
      readonly bytesUp: number;
      readonly bytesDown: number;
      /** The server's resident set. */
      readonly residentBytes: number;
    }
  | { readonly kind: 'times'; readonly times: StepTimes }
  | { readonly kind: 'uncut'; readonly samplesPerSecond: number }
  | { readonly kind: 'memory'; readonly peakBytes: number }
  | { readonly kind: 'server-done'; readonly figures: ServerFigures }
  | { readonly kind: 'site-done'; readonly figures: SiteFigures }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An error as it travels between processes. */
export interface Failure {
  /** The error's class by name. */
  readonly error: string;
  readonly code: string;
  readonly message: string;
  readonly problems: readonly string[];
}

/** What an error says to another process. */
export function failureOf(error: unknown): Failure {
  return {
    error: error instanceof Error ? error.name : 'Error',
    code: error instanceof SeptumError ? error.code : 'internal',
    message: messageOf(error),
    problems: error instanceof ConfigError || error instanceof DataError ? error.problems : [],
  };
}

/** The error of another process, as far as its class matters to a caller. */
export function errorFrom(process: string, failure: Failure): Error {
  const problems = (failure.problems.length > 0 ? failure.problems : [failure.message]).map(
    (problem) => `${process}: ${problem}`,
  );
  if (failure.error === 'ConfigError') return new ConfigError(failure.code as 'bad-study', problems);
  if (failure.error === 'DataError') return new DataError(failure.code as 'bad-data', problems);
  return new SeptumError(failure.code, problems.join('\n'));
}
