// How the command line ends: 0 done, 1 failed, 2 bad usage or study file, 3 a run that is done without all of its sites.

import { ConfigError, DataError, messageOf, SeptumError } from '../base/index.ts';

/** A run is done, and went on without sites that were lost. */
export const exitWithoutAll = 3;

/** Says on standard error what went wrong, with `of` that it went wrong with this of several, and gives the exit code. */
export function fail(error: unknown, of?: string): number {
  const problems = error instanceof ConfigError || error instanceof DataError ? error.problems : [messageOf(error)];
  const about = of === undefined ? '' : `${of}: `;
  for (const problem of problems) process.stderr.write(`septum: ${about}${problem}\n`);
  if (!(error instanceof SeptumError) && error instanceof Error && error.stack)
    process.stderr.write(`${error.stack}\n`);
  return error instanceof ConfigError ? 2 : 1;
}

/** The operator pressed Ctrl-C or closed the terminal, or the system asked the process to end. */
export class Interrupted extends SeptumError {
  constructor(signal: NodeJS.Signals) {
    super('interrupted', `interrupted by ${signal}`);
  }
}

/** Aborts at the first SIGINT, SIGTERM or SIGHUP; at a second the process ends at once, but not at a SIGHUP: a terminal that closes may send several. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted && signal !== 'SIGHUP') process.exit(1);
    controller.abort(new Interrupted(signal));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', stop);
  return controller.signal;
}
