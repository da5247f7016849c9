// `septum run`.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../base/index.ts';
import { metricsText, readStudy, runStudy } from '../study/index.ts';
import { checkedImages } from './checked-images.ts';
import type { RunFlags } from './commands/run.ts';
import { exitWithoutAll, fail, interruption } from './exit.ts';
import { profileLines } from './profile-lines.ts';
import { tellResult } from './run-result.ts';
import { RunProgress } from './run-progress.ts';
import { Screen } from './screen.ts';

export async function run(studyFile: string, flags: RunFlags): Promise<number> {
  const screen = new Screen();
  const progress = new RunProgress(screen);
  let out: string | undefined;
  try {
    const study = await readStudy(studyFile);
    if (flags.data === undefined && study.data.kind !== 'synthetic')
      throw new ConfigError('bad-usage', '--data PATH is missing: the folder or file with the records');
    out = flags.out ?? `septum-run-${study.name}-${flags.seed ?? study.seed}`;
    const result = await runStudy({
      study,
      overrides: { seed: flags.seed, siteCount: flags.sites, ratio: flags.ratio },
      data: flags.data ?? '',
      out,
      force: flags.force ?? false,
      resume: flags.resume ?? false,
      skipBad: flags.skipBad ?? 0,
      profile: flags.profile ?? false,
      serverThreads: flags.serverThreads,
      ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
      signal: interruption(),
      onChecked: checkedImages(screen),
      onEvent: (event) => progress.take(event),
    });
    screen.done();
    if (flags.json) process.stdout.write(metricsText(result.metrics));
    else {
      tellResult(result, out);
      if (result.profile) process.stdout.write(`${profileLines(result.profile).join('\n')}\n`);
    }
    const lost = Object.entries(result.lost);
    for (const [site, reason] of lost)
      process.stderr.write(`septum: the study went on without ${site}, which was lost: ${reason}\n`);
    return lost.length > 0 ? exitWithoutAll : 0;
  } catch (error) {
    screen.done();
    if (out !== undefined && !(error instanceof ConfigError) && (await hasCommits(out)))
      process.stderr.write(
        `septum: what was trained so far is in ${out}; the same command with --resume goes on with it\n`,
      );
    return fail(error);
  }
}

async function hasCommits(out: string): Promise<boolean> {
  const files = await readdir(join(out, 'commits')).catch(() => []);
  return files.some((name) => name.startsWith('server.') && name.endsWith('.commit'));
}
