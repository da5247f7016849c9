// `septum server`: under a run it reports to its parent, else to the terminal.

import { ConfigError } from '../base/index.ts';
import {
  collectAtOnce,
  type DoorOptions,
  handOver,
  hasParent,
  planOf,
  readStudy,
  type ServeOptions,
  serveStudy,
  serveToFolder,
  StepTimer,
  type Study,
  underParent,
} from '../study/index.ts';
import type { ServerFlags } from './commands/server.ts';
import { fail, interruption } from './exit.ts';
import { recorderOf } from './recorder-of.ts';
import { RunProgress } from './run-progress.ts';
import { tellResult } from './run-result.ts';
import { Screen } from './screen.ts';

export async function server(flags: ServerFlags): Promise<number> {
  collectAtOnce();
  if (hasParent()) return serverOfRun(flags);
  const screen = new Screen();
  const progress = new RunProgress(screen, { namesAwaited: true });
  try {
    const study = await readStudy(flags.study);
    const options = serveOptions(study, flags, interruption());
    const result = await serveToFolder(study, {
      ...options,
      onIdentity: (fingerprint) => screen.line(`the server’s identity: ${fingerprint}`),
      onEvent: (event) => progress.take(event),
    });
    screen.done();
    tellResult({ ...result, planned: options.planned }, flags.state);
    return 0;
  } catch (error) {
    screen.done();
    return fail(error);
  }
}

/** A run starts its sites itself: one that has not come by then will not. */
const joinTimeoutMsOfRun = 600_000;

/** The server of a run. */
function serverOfRun(flags: ServerFlags): Promise<number> {
  return underParent(async (tell, signal) => {
    const options = serveOptions(await readStudy(flags.study), flags, signal);
    const result = await serveStudy({
      ...options,
      joinTimeoutMs: Math.max(options.timeoutMs, joinTimeoutMsOfRun),
      ...(flags.commitEvery !== undefined && { commitEveryMs: flags.commitEvery }),
      recorder: recorderOf('server', flags),
      timer: flags.timeSteps && new StepTimer(flags.timeSteps, (times) => tell({ kind: 'times', times })),
      onEngine: (info) => tell({ kind: 'engine', info }),
      onNotLowered: (graph, reason) => tell({ kind: 'not-lowered', graph, reason }),
      onEvent: (event) => tell({ kind: 'server', event }),
      onTraffic: (traffic) => tell({ kind: 'traffic', ...traffic, residentBytes: process.memoryUsage.rss() }),
    });
    const { trunk, segments, ...figures } = result;
    if (flags.handOver !== undefined) await handOver(flags.handOver, 'server', { trunk, segments });
    tell({ kind: 'server-done', figures });
  });
}

function serveOptions(study: Study, flags: ServerFlags, signal: AbortSignal): ServeOptions {
  return {
    planned: planOf(study, { seed: flags.seed, siteCount: flags.sites }),
    stateDir: flags.state,
    ...(flags.listen ? { listen: flags.listen } : {}),
    door: doorOptions(flags),
    threads: flags.threads,
    provider: flags.provider,
    timeoutMs: flags.timeout ?? 60_000,
    signal,
  };
}

/** Undefined: without TLS and keys. Throws ConfigError for flags that do not go together. */
function doorOptions({ insecure, cert, key }: ServerFlags): DoorOptions | undefined {
  if ((cert === undefined) !== (key === undefined))
    throw new ConfigError('bad-usage', '--cert and --key go together: the certificate and its private key');
  if (insecure && cert !== undefined) throw new ConfigError('bad-usage', '--insecure shows no certificate');
  if (insecure) return undefined;
  return {
    certificateFiles: cert !== undefined && key !== undefined ? { cert, key } : undefined,
    onTrouble: (what) => process.stderr.write(`septum: ${what}\n`),
  };
}
