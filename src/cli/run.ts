// `septum run`.

import { ConfigError } from '../base/index.ts';
import { readStudy, runStudy } from '../study/index.ts';
import type { RunFlags } from './commands/run.ts';
import { fail, interruption } from './exit.ts';

export async function run(studyFile: string, flags: RunFlags): Promise<number> {
  try {
    if (flags.resume)
      throw new ConfigError('bad-usage', '--resume: going on with a run comes with recovery, in a later version');
    const study = await readStudy(studyFile);
    if (flags.data === undefined && study.data.kind !== 'synthetic')
      throw new ConfigError('bad-usage', '--data PATH is missing: the folder or file with the records');
    const out = flags.out ?? `septum-run-${study.name}-${flags.seed ?? study.seed}`;
    const result = await runStudy({
      study,
      overrides: { seed: flags.seed, siteCount: flags.sites, ratio: flags.ratio },
      data: flags.data ?? '',
      out,
      force: flags.force ?? false,
      skipBad: flags.skipBad ?? 0,
      serverThreads: flags.serverThreads,
      ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
      signal: interruption(),
    });
    process.stdout.write(`${JSON.stringify(result.server.test, null, 2)}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}
