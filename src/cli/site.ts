// `septum site`: under a run it reports to its parent, else to the terminal.

import { readFile } from 'node:fs/promises';
import type { Manifest } from '../data/index.ts';
import { handOver, hasParent, planOf, readStudy, takePart, type TakePartOptions, underParent } from '../study/index.ts';
import type { SiteFlags } from './commands/site.ts';
import { fail, interruption } from './exit.ts';

export async function site(flags: SiteFlags): Promise<number> {
  if (hasParent()) return siteOfRun(flags);
  try {
    await takePart(await partOptions(flags, interruption()));
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** A site of a run. */
function siteOfRun(flags: SiteFlags): Promise<number> {
  return underParent(async (tell, signal) => {
    const options = await partOptions(flags, signal);
    const stepsToo = options.planned.plan.choices.labels === 'site';
    const result = await takePart({
      ...options,
      onEngine: (info) => tell({ kind: 'engine', info }),
      // With the labels at the server it reports every site's steps itself.
      onEvent: (event) => {
        if (stepsToo || event.kind !== 'step') tell({ kind: 'site', event });
      },
    });
    const { trunk, segment, ...figures } = result;
    if (flags.handOver !== undefined)
      await handOver(flags.handOver, flags.name, { trunk, segments: { [flags.name]: segment } });
    tell({ kind: 'site-done', figures });
  });
}

async function partOptions(flags: SiteFlags, signal: AbortSignal): Promise<TakePartOptions> {
  const study = await readStudy(flags.study);
  const manifest =
    flags.manifest === undefined ? undefined : (JSON.parse(await readFile(flags.manifest, 'utf8')) as Manifest);
  return {
    study,
    planned: planOf(study, { seed: flags.seed, siteCount: flags.sites }),
    site: flags.name,
    url: flags.server,
    data: flags.data,
    manifest,
    skipBad: flags.skipBad,
    stateDir: flags.state,
    threads: flags.threads,
    timeoutMs: flags.timeout ?? 60_000,
    signal,
  };
}
