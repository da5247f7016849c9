// `septum demo`: a run on synthetic records, with a linear model on the same records beside it.

import { existsSync } from 'node:fs';
import { demoStudy, parseStudy, runStudy } from '../study/index.ts';
import { ConfigError } from '../base/index.ts';
import type { DemoFlags } from './commands/demo.ts';
import { fail, interruption } from './exit.ts';
import { figureLines } from './figures.ts';
import { RunProgress } from './run-progress.ts';
import { tellResult } from './run-result.ts';
import { Screen } from './screen.ts';

export async function demo(flags: DemoFlags): Promise<number> {
  const screen = new Screen();
  const progress = new RunProgress(screen);
  try {
    const sites = flags.sites ?? flags.ratio?.length ?? 3;
    const ratio = flags.ratio ?? (sites === 3 ? [7, 2, 1] : Array.from({ length: sites }, () => 1));
    if (ratio.length !== sites)
      throw new ConfigError(
        'bad-usage',
        `--ratio ${ratio.join(':')} has ${ratio.length} parts, but there are ${sites} sites`,
      );
    const text = demoStudy(flags.case, { quick: flags.quick ?? false, ratio });
    const study = parseStudy(text, `demo-${flags.case}.yaml`);
    const out = flags.out ?? freeFolder(`septum-demo-${flags.case}`);
    const result = await runStudy({
      study,
      data: '',
      out,
      force: flags.force ?? false,
      baseline: true,
      signal: interruption(),
      onEvent: (event) => progress.take(event),
    });
    screen.done();
    const { metrics, baselines, planned } = result;
    if (flags.json) {
      process.stdout.write(`${JSON.stringify({ synthetic: true, out, metrics, baselines }, null, 2)}\n`);
      return 0;
    }
    const { task } = planned.plan;
    process.stdout.write('\nResults on SYNTHETIC records\n');
    tellResult(result, out);
    for (const { name, splits } of baselines) {
      if (!splits.test) continue;
      process.stdout.write(`for comparison, ${name} on the raw inputs of all sites pooled:\n`);
      const unit = task.kind === 'regression' ? task.unit : '';
      process.stdout.write(`${figureLines('test', { overall: splits.test, sites: {} }, unit).join('\n')}\n`);
    }
    return 0;
  } catch (error) {
    screen.done();
    return fail(error);
  }
}

/** The folder, or the first with a number behind it that does not exist. */
function freeFolder(folder: string): string {
  for (let number = 1; ; number++) {
    const free = number === 1 ? folder : `${folder}-${number}`;
    if (!existsSync(free)) return free;
  }
}
