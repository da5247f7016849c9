// The studies of a server's folder: which it is to serve, and where each has its files.
//
// A study has a folder of its own, `studies/NAME` below the server's; the one that a new folder is begun with, alone, has the server's own.
// Its study file is kept there with the networks that it names, so that the server can be started again without them.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../base/index.ts';
import { parsePlan, type Plan, planHash } from '../../protocol/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { isOver, type Registry } from '../../store/index.ts';
import { atomicWriteFile, makeFolder } from '../../store/node/index.ts';
import { planOf, type StudyOverrides } from '../planned-study.ts';
import { readStudy, type Study } from '../study-file.ts';
import { awaitedAtEnd, checkBegun } from './out-folder.ts';

/** A study that is to be served. */
export interface ServedStudy {
  readonly study: Study;
  readonly planned: PlannedStudy;
  /** Its folder below the server's; '' is the server's own. */
  readonly folder: string;
  /** Of a study that is over: the sites that its end is still to be handed to. */
  readonly awaited?: readonly string[] | undefined;
}

const planFile = (folder: string): string => join(folder, 'plan.json');
const keptNetwork = { file: 'network.onnx', start: 'start.onnx' } as const;

/**
 * The studies of these files, or without any those that the folder knows and that are not over, or not for all their sites. Throws ConfigError when there is none, for
 * two of one name, and where a study's folder holds another study or a finished one.
 */
export async function studiesToServe(
  stateDir: string,
  registry: Registry,
  files: readonly string[],
  overrides: StudyOverrides,
): Promise<readonly ServedStudy[]> {
  const given = Object.values(overrides).some((value) => value !== undefined);
  if (given && files.length !== 1)
    throw new ConfigError('bad-usage', '--seed and --sites go with one --study: they are instead of what it says');
  const served =
    files.length > 0 ? await fromFiles(stateDir, registry, files, overrides) : await known(stateDir, registry);
  return Promise.all(
    served.map(async (study) => {
      const place = join(stateDir, study.folder);
      const begun = await checkBegun(place, planHash(study.planned.plan), '--state');
      return { ...study, awaited: begun?.awaited };
    }),
  );
}

async function fromFiles(
  stateDir: string,
  registry: Registry,
  files: readonly string[],
  overrides: StudyOverrides,
): Promise<readonly ServedStudy[]> {
  const folders = new Map(registry.studies().map(({ name, folder }) => [name, folder]));
  const owner = await ownerOf(stateDir);
  const isNew = owner === undefined && folders.size === 0 && files.length === 1;
  const served: ServedStudy[] = [];
  for (const file of files) {
    const study = await readStudy(file);
    const { name } = study;
    if (served.some((other) => other.study.name === name))
      throw new ConfigError('bad-usage', `${file}: there are two studies of the name ${name}`);
    const folder = folders.get(name) ?? (isNew || owner === name ? '' : `studies/${name}`);
    served.push({ study, planned: planOf(study, overrides), folder });
  }
  return served;
}

/** The study whose files are in the server's own folder. */
async function ownerOf(stateDir: string): Promise<string | undefined> {
  if (!existsSync(planFile(stateDir))) return undefined;
  return (await readPlan(stateDir)).study;
}

async function known(stateDir: string, registry: Registry): Promise<readonly ServedStudy[]> {
  const served: ServedStudy[] = [];
  for (const { name, folder, state } of registry.book.statuses()) {
    const place = join(stateDir, folder);
    // What was not noted: the study's own log has the last word.
    const awaited = await awaitedAtEnd(place);
    if (awaited ? awaited.length === 0 : isOver(state)) continue;
    if (!existsSync(planFile(place)))
      throw new ConfigError(
        'bad-usage',
        `--state ${stateDir}: study ${name} has not begun there: give its file, with --study`,
      );
    const { seed, sites } = await readPlan(place);
    const study = await readStudy(join(place, 'study.yaml'), (key) => join(place, keptNetwork[key]));
    served.push({ study, planned: planOf(study, { seed, siteNames: sites }), folder });
  }
  if (served.length === 0)
    throw new ConfigError('bad-usage', `--state ${stateDir}: it has no study that is to go on: give one, with --study`);
  return served;
}

async function readPlan(folder: string): Promise<Plan> {
  try {
    return parsePlan(JSON.parse(await readFile(planFile(folder), 'utf8')));
  } catch (cause) {
    throw new ConfigError(
      'folder-not-empty',
      `--state ${folder}: holds another study, or another plan of it: its plan.json is none of this version of Septum`,
      { cause },
    );
  }
}

/** Keeps what a study is made from in its folder. */
export async function keepStudy(folder: string, { study, planned }: ServedStudy): Promise<void> {
  await makeFolder(folder);
  await atomicWriteFile(join(folder, 'study.yaml'), study.text);
  await atomicWriteFile(planFile(folder), `${JSON.stringify(planned.plan, null, 2)}\n`);
  const { model, startModel } = study.network;
  if (model) await atomicWriteFile(join(folder, keptNetwork.file), model.bytes);
  if (startModel) await atomicWriteFile(join(folder, keptNetwork.start), startModel.bytes);
}
