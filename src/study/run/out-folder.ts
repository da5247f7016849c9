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

/** Throws ConfigError `folder-not-empty` when something is in the folder, unless `force`. */
export async function checkOutFolder(folder: string, force: boolean): Promise<void> {
  const found = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw new ConfigError('bad-usage', `--out ${folder}: cannot be used: ${cause.message}`, { cause });
  });
  if (found.length > 0 && !force)
    throw new ConfigError(
      'folder-not-empty',
      `${folder} is not empty: give another --out, or --force to replace a run`,
    );
}

/** Makes the folder, and removes what an earlier run left in it, and nothing else. Throws ConfigError when it cannot be made. */
export async function claimOutFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError('bad-usage', `--out ${folder}: cannot be made: ${cause.message}`, { cause });
  });
  await Promise.all(leftByRun.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}
