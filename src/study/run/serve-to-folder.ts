// `septum server`: a study served to sites that come by themselves, and what it leaves in the server's folder.

import { join } from 'node:path';
import { planHash } from '../../protocol/index.ts';
import type { ServerResult } from '../../server/index.ts';
import { atomicWriteFile, makeFolder, takeLock } from '../../store/node/index.ts';
import type { MetricsFile } from '../metrics-file.ts';
import type { Study } from '../study-file.ts';
import { checkBegun } from './out-folder.ts';
import { PartialRun } from './partial-run.ts';
import type { Report } from './reports.ts';
import { RunLog } from './run-log.ts';
import type { RunEvent } from './run-study.ts';
import { type ServeOptions, serveStudy } from './serve-study.ts';
import { type RunFacts, leavePartialResults, writeResults } from './write-results.ts';

/**
 * Serves a study, as the only process that uses the folder, and writes plan.json, log.jsonl, commits/, metrics.json, report.html and, where the server knows the segments, model/.
 * Throws ConfigError when the folder holds another study or a finished one, and what serveStudy throws.
 */
export async function serveToFolder(
  study: Study,
  options: Omit<ServeOptions, 'onEngine' | 'onEvent' | 'onTraffic'> & { readonly onEvent?: (event: RunEvent) => void },
): Promise<{ readonly server: ServerResult; readonly metrics: MetricsFile; readonly seconds: number }> {
  const { stateDir: out } = options;
  await makeFolder(out);
  const unlock = await takeLock(join(out, 'lock'));
  try {
    return await serveLocked(study, options);
  } finally {
    await unlock();
  }
}

async function serveLocked(...[study, options]: Parameters<typeof serveToFolder>): ReturnType<typeof serveToFolder> {
  const { planned, stateDir: out } = options;
  const startMs = performance.now();
  await checkBegun(out, planHash(planned.plan), '--state');
  await atomicWriteFile(join(out, 'study.yaml'), study.text);
  await atomicWriteFile(join(out, 'plan.json'), `${JSON.stringify(planned.plan, null, 2)}\n`);
  const log = await RunLog.open(join(out, 'log.jsonl'), { plan: planned.plan, method: study.method });
  const seen = new PartialRun(planned.plan);
  const tell = (report: Report): void => {
    const event: RunEvent = { kind: 'report', process: 'server', report };
    log.write(event);
    seen.take(event);
    options.onEvent?.(event);
  };
  const facts: RunFacts = { planned, out, synthetic: study.data.kind === 'synthetic' };
  const secondsSoFar = (): number => (performance.now() - startMs) / 1000;
  let result: Awaited<ReturnType<typeof serveToFolder>>;
  try {
    options.onEvent?.({ kind: 'planned', planned });
    const server = await serveStudy({
      ...options,
      signal: AbortSignal.any([options.signal, log.failed]),
      onEngine: (info) => tell({ kind: 'engine', info }),
      onNotLowered: (graph, reason) => tell({ kind: 'not-lowered', graph, reason }),
      onEvent: (event) => tell({ kind: 'server', event }),
      onTraffic: (traffic) => tell({ kind: 'traffic', ...traffic, residentBytes: process.memoryUsage.rss() }),
    });
    const seconds = secondsSoFar();
    const peakBytes = { server: process.resourceUsage().maxRSS * 1024 };
    const metrics = await writeResults(facts, { server, sites: {}, peakBytes, seconds, baselines: [] });
    log.finish({ server });
    result = { server, metrics, seconds };
  } catch (error) {
    await leavePartialResults(facts, { log, seen, seconds: secondsSoFar(), reason: error });
    throw error;
  }
  await log.close();
  return result;
}
