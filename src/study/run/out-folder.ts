// The folder that a run leaves behind.

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../base/index.ts';

/** What a run leaves in its folder, and `force` replaces. */
const leftByRun = [
  'study.yaml',
  'plan.json',
  'metrics.json',
  'report.html',
  'model',
  'commits',
  'activations',
  'order.jsonl',
  'log.jsonl',
];

/**
 * Makes the folder of a run, or takes an empty one. Throws ConfigError `folder-not-empty` when something is in it, unless `force`:
 * then what an earlier run left is removed, and nothing else.
 */
export async function claimOutFolder(folder: string, force: boolean): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError('bad-usage', `--out ${folder}: cannot be made: ${cause.message}`, { cause });
  });
  if ((await readdir(folder)).length === 0) return;
  if (!force)
    throw new ConfigError(
      'folder-not-empty',
      `${folder} is not empty: give another --out, or --force to replace a run`,
    );
  await Promise.all(leftByRun.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}
