// `septum server`: under a run it reports to its parent, else to the terminal.

import { ConfigError } from '../base/index.ts';
import {
  collectAtOnce,
  type DoorOptions,
  handOver,
  hasParent,
  planOf,
  readStudy,
  serveStudies,
  serveStudy,
  StepTimer,
  type StudyEnd,
  type StudyOverrides,
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
  let screen = new Screen();
  const shown = new Map<string, RunProgress>();
  let code = 0;
  const onEnd = (study: string, end: StudyEnd): void => {
    screen.done();
    if (!('error' in end)) {
      if (shown.size > 1) process.stdout.write(`study ${study}:\n`);
      return tellResult(end, end.folder);
    }
    code = Math.max(code, fail(end.error, shown.size > 1 ? study : undefined));
  };
  try {
    await serveStudies({
      ...listenChoice(flags),
      stateDir: flags.state,
      files: flags.study,
      overrides: overridesOf(flags),
      threads: flags.threads,
      provider: flags.provider,
      timeoutMs: flags.timeout ?? timeoutMsUsual,
      signal: interruption(),
      onIdentity: (fingerprint) => screen.line(`the server’s identity: ${fingerprint}`),
      onStudies: (names) => {
        const several = names.length > 1;
        if (several) screen = new Screen({ still: true });
        for (const name of names)
          shown.set(name, new RunProgress(several ? screen.of(name) : screen, { namesAwaited: true }));
      },
      onEvent: (study, event) => shown.get(study)?.take(event),
      onEnd,
      onTrouble,
    });
    return code;
  } catch (error) {
    screen.done();
    return fail(error);
  }
}

/** A run starts its sites itself: one that has not come by then will not. */
const joinTimeoutMsOfRun = 600_000;
/** And one that died will not come again. */
const handOverTimeoutMsOfRun = 10_000;
const timeoutMsUsual = 60_000;

/** The server of a run. */
function serverOfRun(flags: ServerFlags): Promise<number> {
  return underParent(async (tell, signal) => {
    const [file = ''] = flags.study;
    const timeoutMs = flags.timeout ?? timeoutMsUsual;
    const result = await serveStudy({
      ...listenChoice(flags),
      planned: planOf(await readStudy(file), overridesOf(flags)),
      stateDir: flags.state,
      threads: flags.threads,
      provider: flags.provider,
      timeoutMs,
      signal,
      handOverTimeoutMs: Math.min(timeoutMs, handOverTimeoutMsOfRun),
      keep: async ({ trunk, segments }) => {
        if (flags.handOver !== undefined) await handOver(flags.handOver, 'server', { trunk, segments });
      },
      joinTimeoutMs: Math.max(timeoutMs, joinTimeoutMsOfRun),
      ...(flags.commitEvery !== undefined && { commitEveryMs: flags.commitEvery }),
      recorder: recorderOf('server', flags),
      timer: flags.timeSteps && new StepTimer(flags.timeSteps, (times) => tell({ kind: 'times', times })),
      onEngine: (info) => tell({ kind: 'engine', info }),
      onNotLowered: (graph, reason) => tell({ kind: 'not-lowered', graph, reason }),
      onEvent: (event) => tell({ kind: 'server', event }),
      onTraffic: (traffic) => tell({ kind: 'traffic', ...traffic, residentBytes: process.memoryUsage.rss() }),
    });
    const { trunk: _trunk, segments: _segments, ...figures } = result;
    tell({ kind: 'server-done', figures });
  });
}

function overridesOf({ seed, sites }: ServerFlags): StudyOverrides {
  return { seed, siteCount: sites };
}

function listenChoice(flags: ServerFlags) {
  return { ...(flags.listen ? { listen: flags.listen } : {}), door: doorOptions(flags) };
}

function onTrouble(what: string): void {
  process.stderr.write(`septum: ${what}\n`);
}

/** Undefined: without TLS and keys. Throws ConfigError for flags that do not go together. */
function doorOptions({ insecure, cert, key, mutualTls }: ServerFlags): DoorOptions | undefined {
  if ((cert === undefined) !== (key === undefined))
    throw new ConfigError('bad-usage', '--cert and --key go together: the certificate and its private key');
  if (insecure && cert !== undefined) throw new ConfigError('bad-usage', '--insecure shows no certificate');
  if (insecure && mutualTls) throw new ConfigError('bad-usage', '--insecure speaks no TLS: --mutual-tls asks for it');
  if (insecure) return undefined;
  return {
    mutualTls,
    certificateFiles: cert !== undefined && key !== undefined ? { cert, key } : undefined,
    onTrouble,
  };
}
