// `septum server`: under a run it reports to its parent, else to the terminal.

import { handOver, hasParent, planOf, readStudy, type ServeOptions, serveStudy, underParent } from '../study/index.ts';
import type { ServerFlags } from './commands/server.ts';
import { fail, interruption } from './exit.ts';

export async function server(flags: ServerFlags): Promise<number> {
  if (hasParent()) return serverOfRun(flags);
  try {
    const options = await serveOptions(flags, interruption());
    await serveStudy(options);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** The server of a run. */
function serverOfRun(flags: ServerFlags): Promise<number> {
  return underParent(async (tell, signal) => {
    const result = await serveStudy({
      ...(await serveOptions(flags, signal)),
      onEngine: (info) => tell({ kind: 'engine', info }),
      onEvent: (event) => tell({ kind: 'server', event }),
      onTraffic: (traffic) => tell({ kind: 'traffic', ...traffic }),
    });
    const { trunk, segments, ...figures } = result;
    if (flags.handOver !== undefined) await handOver(flags.handOver, 'server', { trunk, segments });
    tell({ kind: 'server-done', figures });
  });
}

async function serveOptions(flags: ServerFlags, signal: AbortSignal): Promise<ServeOptions> {
  const study = await readStudy(flags.study);
  return {
    planned: planOf(study, { seed: flags.seed, siteCount: flags.sites }),
    stateDir: flags.state,
    ...(flags.listen ? { listen: flags.listen } : {}),
    threads: flags.threads,
    timeoutMs: flags.timeout ?? 60_000,
    signal,
  };
}
