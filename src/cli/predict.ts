// `septum predict`.

import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { ConfigError, messageOf } from '../base/index.ts';
import { openEngine } from '../engine/node/index.ts';
import { predictCsv, readModelFolder } from '../study/index.ts';
import { checkedImages } from './checked-images.ts';
import type { PredictFlags } from './commands/model.ts';
import { dataPathFor } from './data-path.ts';
import { fail, interruption } from './exit.ts';
import { Screen } from './screen.ts';

export async function predict(flags: PredictFlags): Promise<number> {
  const screen = new Screen();
  const signal = interruption();
  const { out, force = false } = flags;
  const isThere = (): ConfigError =>
    new ConfigError('bad-usage', `--out ${out}: is there already; --force replaces it`);
  try {
    const model = await readModelFolder(flags.model);
    if (out !== '-' && !force && existsSync(out)) throw isThere();
    const dataPath = dataPathFor(model, flags.data);
    const engine = await openEngine({ signal });
    try {
      const { csv, count, remarks } = await predictCsv({
        model,
        engine,
        dataPath,
        site: flags.site,
        skipBad: flags.skipBad,
        signal,
        onChecked: checkedImages(screen),
      });
      screen.done();
      for (const remark of remarks) screen.line(`note: ${remark}`);
      if (out === '-') {
        process.stdout.write(csv);
        return 0;
      }
      await writeFile(out, csv, { flag: force ? 'w' : 'wx' }).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code === 'EEXIST') throw isThere();
        throw new ConfigError('bad-usage', `--out ${out}: cannot be written: ${messageOf(cause)}`, { cause });
      });
      screen.line(`wrote ${count} predictions to ${out}`);
    } finally {
      await engine.close();
    }
    return 0;
  } catch (error) {
    screen.done();
    return fail(error);
  }
}
