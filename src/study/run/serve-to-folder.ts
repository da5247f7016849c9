// `septum server`: a study served to sites that come by themselves, and what it leaves in the server's folder.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { planHash } from '../../protocol/index.ts';
import type { ServerResult } from '../../server/index.ts';
import type { MetricsFile } from '../metrics-file.ts';
import type { Study } from '../study-file.ts';
import { checkBegun } from './out-folder.ts';
import { PartialRun } from './partial-run.ts';
import type { Report } from './reports.ts';
import { takeLock } from '../../store/node/index.ts';
import { RunLog } from './run-log.ts';
import type { RunEvent } from './run-study.ts';
import { type ServeOptions, serveStudy } from './serve-study.ts';
import { type RunFacts, writePartialResults, writeResults } from './write-results.ts';

/**
 * Serves a study, as the only process that uses the folder, and writes plan.json, log.jsonl, commits/, metrics.json, report.html and, where the server knows the segments, model/.
 * Throws ConfigError when the folder holds another study or a finished one, and what serveStudy throws.
 */
export async function serveToFolder(
  study: Study,
  options: Omit<ServeOptions, 'onEngine' | 'onEvent' | 'onTraffic'> & { readonly onEvent?: (event: RunEvent) => void },
): Promise<{ readonly server: ServerResult; readonly metrics: MetricsFile; readonly seconds: number }> {
  const { stateDir: out } = options;
  await mkdir(out, { recursive: true, mode: 0o700 });
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
  await writeFile(join(out, 'study.yaml'), study.text);
  await writeFile(join(out, 'plan.json'), `${JSON.stringify(planned.plan, null, 2)}\n`);
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
  try {
    options.onEvent?.({ kind: 'planned', planned });
    const server = await serveStudy({
      ...options,
      onEngine: (info) => tell({ kind: 'engine', info }),
      onNotLowered: (graph, reason) => tell({ kind: 'not-lowered', graph, reason }),
      onEvent: (event) => tell({ kind: 'server', event }),
      onTraffic: (traffic) => tell({ kind: 'traffic', ...traffic, residentBytes: process.memoryUsage.rss() }),
    });
    const seconds = secondsSoFar();
    const peakBytes = { server: process.resourceUsage().maxRSS * 1024 };
    const metrics = await writeResults(facts, { server, sites: {}, peakBytes, seconds, baselines: [] });
    log.finish({ server });
    return { server, metrics, seconds };
  } catch (error) {
    log.fail(error);
    await writePartialResults(facts, seen, secondsSoFar(), error);
    throw error;
  } finally {
    await log.close();
  }
}
