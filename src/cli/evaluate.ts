// `septum evaluate`.

import { openEngine } from '../engine/node/index.ts';
import { evaluateModel, metricsText, partsOf, readModelFolder } from '../study/index.ts';
import { checkedImages } from './checked-images.ts';
import type { EvaluateFlags } from './commands/model.ts';
import { dataPathFor } from './data-path.ts';
import { fail, interruption } from './exit.ts';
import { figureLines } from './figures.ts';
import { Screen } from './screen.ts';

export async function evaluate(flags: EvaluateFlags): Promise<number> {
  const screen = new Screen();
  const signal = interruption();
  try {
    const parts = partsOf(flags.split);
    const model = await readModelFolder(flags.model);
    const engine = await openEngine({ signal });
    try {
      const { metrics, remarks } = await evaluateModel({
        model,
        engine,
        dataPath: dataPathFor(model, flags.data),
        parts,
        site: flags.site,
        skipBad: flags.skipBad,
        signal,
        onChecked: checkedImages(screen),
      });
      screen.done();
      for (const remark of remarks) screen.line(`note: ${remark}`);
      const { task, input } = model.description;
      const lines = parts.flatMap((part) => {
        const split = metrics.splits[part];
        return split ? figureLines(part, split, task.kind === 'regression' ? task.unit : '') : [];
      });
      if (input.synthetic) lines.unshift('SYNTHETIC records');
      process.stdout.write(flags.json ? metricsText(metrics) : `${lines.join('\n')}\n`);
    } finally {
      await engine.close();
    }
    return 0;
  } catch (error) {
    screen.done();
    return fail(error);
  }
}
