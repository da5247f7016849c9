// `septum study new`, `septum study check` and `septum study show`.

import { writeFile } from 'node:fs/promises';
import { ConfigError, messageOf } from '../base/index.ts';
import { type Method, methods, planHash } from '../protocol/index.ts';
import { type CaseName, newStudy, planOf, readStudy } from '../study/index.ts';
import type { StudyCheckFlags, StudyNewFlags, StudyShowFlags } from './commands/study.ts';
import { bytesText } from './amounts.ts';
import { fail } from './exit.ts';
import { planInWords, quorumInWords } from './plan-words.ts';

export async function newStudyFile(name: string, flags: StudyNewFlags): Promise<number> {
  try {
    const method = flags.method ?? 'septum';
    if (!(methods as readonly string[]).includes(method))
      throw new ConfigError('bad-usage', `--method ${method}: expected one of ${methods.join(', ')}`);
    const text = newStudy(name as CaseName, method as Method);
    if (flags.out === undefined) {
      process.stdout.write(text);
      return 0;
    }
    await writeFile(flags.out, text, { flag: flags.force ? 'w' : 'wx' }).catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EEXIST' ? 'is there already; --force replaces it' : messageOf(cause);
      throw new ConfigError('bad-usage', `${flags.out} ${why}`, { cause });
    });
    process.stderr.write(`wrote ${flags.out}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

export async function checkStudyFile(file: string, flags: StudyCheckFlags): Promise<number> {
  try {
    const study = await readStudy(file);
    const { plan } = planOf(study);
    if (flags.json) {
      process.stdout.write(`${JSON.stringify(plan, null, 2)}\n`);
      return 0;
    }
    const { when, order, trunk, segments, labels, segmentSeed } = plan.choices;
    const lines = [
      `${file} is in order`,
      `study ${plan.study}, seed ${plan.seed}, method ${study.method}: when ${when}, order ${order}, trunk ${trunk}, segments ${segments}, segmentSeed ${segmentSeed}, labels ${labels}`,
      `sites: ${study.sites.names.map((name, index) => `${name} (${study.sites.ratio[index]})`).join(', ')}`,
      ...quorumInWords(plan),
      `network ${plan.network.name}: [N, ${plan.network.inputDims.join(', ')}] in, cut at "${plan.network.cut}" [N, ${plan.network.cutDims.join(', ')}], [N, ${plan.network.outputDims.join(', ')}] out, loss ${plan.network.loss}`,
      ...plan.leaves.map(({ kind, direction, bytes, per }) => `${kind} ${direction}: ${bytesText(bytes)} a ${per}`),
      ...plan.statements,
      `plan ${planHash(plan)}`,
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** What a site's operator is asked to approve. */
export async function showStudyFile(file: string, flags: StudyShowFlags): Promise<number> {
  try {
    const { plan } = planOf(await readStudy(file), { seed: flags.seed, siteCount: flags.sites });
    process.stdout.write(`${planInWords(plan).join('\n')}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}
