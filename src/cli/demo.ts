// `septum demo`: a run on synthetic records, with a linear model on the same records beside it.

import { existsSync } from 'node:fs';
import { demoStudy, linearBaseline, parseStudy, runStudy } from '../study/index.ts';
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
    const text = demoStudy(flags.case, { quick: flags.quick ?? false, sites, ratio });
    const study = parseStudy(text, `demo-${flags.case}.yaml`);
    const out = flags.out ?? freeFolder(`septum-demo-${flags.case}`);
    const signal = interruption();
    const result = await runStudy({
      study,
      data: '',
      out,
      force: flags.force ?? false,
      signal,
      onEvent: (event) => progress.take(event),
    });
    screen.done();
    const { plan } = result.planned;
    const baseline = await linearBaseline(study, plan, result.listing, '');
    if (flags.json) {
      process.stdout.write(`${JSON.stringify({ synthetic: true, out, metrics: result.metrics, baseline }, null, 2)}\n`);
      return 0;
    }
    process.stdout.write('\nResults on SYNTHETIC records\n');
    tellResult(result, out);
    if (baseline) {
      const name = plan.task.kind === 'regression' ? 'linear regression' : 'logistic regression';
      const unit = plan.task.kind === 'regression' ? plan.task.unit : '';
      process.stdout.write(`for comparison, ${name} on the raw inputs of all sites pooled:\n`);
      process.stdout.write(`${figureLines('test', { overall: baseline, sites: {} }, unit).join('\n')}\n`);
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
