// `septum predict`.

import { writeFile } from 'node:fs/promises';
import { ConfigError, messageOf } from '../base/index.ts';
import { openEngine } from '../engine/node/index.ts';
import { predictCsv, readModelFolder } from '../study/index.ts';
import type { PredictFlags } from './commands/model.ts';
import { dataPathFor } from './data-path.ts';
import { fail, interruption } from './exit.ts';

export async function predict(flags: PredictFlags): Promise<number> {
  try {
    const model = await readModelFolder(flags.model);
    const engine = await openEngine({ signal: interruption() });
    try {
      const dataPath = dataPathFor(model, flags.data);
      const { csv, count } = await predictCsv({ model, engine, dataPath, site: flags.site });
      if (flags.out === '-') {
        process.stdout.write(csv);
        return 0;
      }
      await writeFile(flags.out, csv).catch((cause: unknown) => {
        throw new ConfigError('bad-usage', `--out ${flags.out}: cannot be written: ${messageOf(cause)}`, { cause });
      });
      process.stderr.write(`wrote ${count} predictions to ${flags.out}\n`);
    } finally {
      await engine.close();
    }
    return 0;
  } catch (error) {
    return fail(error);
  }
}
