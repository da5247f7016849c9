// The end of a process that another one started: it reports, ends when it is told to, and never outlives its parent.

import { failureOf, type Report } from './reports.ts';
import { Outbox } from './outbox.ts';

/** What the parent sends to have a child end in order. */
export const endWord = 'end';

/** How long a child that is to end may take before it ends at once. */
const graceMs = 3000;

/** Whether this process was started by a run, and has its channel. */
export function hasParent(): boolean {
  return process.send !== undefined;
}

/**
 * Does a child's work. `signal` aborts when the parent says so, when it is gone, or on SIGTERM; SIGINT and SIGHUP are left to the parent, because a
 * terminal sends them to both. Gives the exit code; what went wrong has been reported.
 */
export async function underParent(
  work: (tell: (report: Report) => void, signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const outbox = new Outbox();
  const ending = new AbortController();
  let asked = false;
  const end = (reason: string): void => {
    if (!ending.signal.aborted) ending.abort(new Error(reason));
    setTimeout(() => process.exit(asked ? 0 : 1), graceMs).unref();
  };
  process.on('SIGINT', () => {});
  process.on('SIGHUP', () => {});
  process.on('SIGTERM', () => end('ended by SIGTERM'));
  process.on('disconnect', () => end('the process that started this one is gone'));
  process.on('message', (word) => {
    if (word !== endWord) return;
    asked = true;
    end('ended by the run');
  });
  let code = 0;
  try {
    await work((report) => outbox.tell(report), ending.signal);
  } catch (error) {
    code = asked ? 0 : 1;
    if (!ending.signal.aborted) outbox.tell({ kind: 'failed', failure: failureOf(error) });
  }
  outbox.tell({ kind: 'memory', peakBytes: process.resourceUsage().maxRSS * 1024 });
  await outbox.flush();
  process.removeAllListeners('message');
  process.removeAllListeners('disconnect');
  if (process.connected) process.disconnect();
  return code;
}
