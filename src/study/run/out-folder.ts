// The folder that a run or a server leaves behind: new, replaced, or gone on in.

import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../../base/index.ts';
import { parsePlan, planHash } from '../../protocol/index.ts';
import { readFileLog } from '../../store/node/index.ts';

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
      `${folder} is not empty: give another --out, --force to replace a run, or --resume to go on with one`,
    );
}

/** Makes the folder, and removes what an earlier run left in it, and nothing else. Throws ConfigError when it cannot be made. */
export async function claimOutFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError('bad-usage', `--out ${folder}: cannot be made: ${cause.message}`, { cause });
  });
  await Promise.all(leftByRun.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

/**
 * Checks a folder in which a study may have been begun, `flag` being what named it: it goes on there if its plan is the same. Gives undefined
 * where it has not been begun, and else the sites that its end is still to be handed to. Throws ConfigError when the folder holds another
 * plan, or a study that is finished at all sites.
 */
export async function checkBegun(folder: string, hash: string, flag: string): Promise<Begun | undefined> {
  const text = await readFile(join(folder, 'plan.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  if (planHashOf(text) !== hash)
    throw new ConfigError(
      'folder-not-empty',
      `${flag} ${folder}: holds another study, or another plan of it (a changed study file, seed, number of sites or version of Septum): give a new folder`,
    );
  const awaited = await awaitedAtEnd(folder);
  if (awaited?.length === 0)
    throw new ConfigError('folder-not-empty', `${flag} ${folder}: holds a finished study: give a new folder`);
  return { awaited };
}

/** A study that has begun in a folder. */
export interface Begun {
  /** Where its results are written: the sites that have not said that they have theirs. Undefined while it is to go on. */
  readonly awaited: readonly string[] | undefined;
}

function planHashOf(text: string): string | undefined {
  try {
    return planHash(parsePlan(JSON.parse(text)));
  } catch {
    return undefined; // A file that is no plan is not this study's.
  }
}

/** The sites that have not said that they have what the study ended with; undefined unless the log says that all its results were written. */
export async function awaitedAtEnd(folder: string): Promise<readonly string[] | undefined> {
  const log = join(folder, 'log.jsonl');
  let awaited: Set<string> | undefined;
  for await (const line of readFileLog(log)) {
    const entry = entrySchema.safeParse(line).data;
    if (entry?.event === 'finished') awaited = new Set(entry.sites);
    if (entry?.event === 'hand-over' && entry.state === 'done') awaited?.delete(entry.site);
  }
  return awaited && [...awaited];
}

/** What of a log says how far a study's end has come. */
const entrySchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('finished'), sites: z.array(z.string()).default([]) }),
  z.object({ event: z.literal('hand-over'), site: z.string(), state: z.string() }),
]);
