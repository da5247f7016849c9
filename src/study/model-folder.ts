// The model folder that a study leaves: segment.onnx, trunk.onnx, (head.onnx,) joined.onnx and model.json. Where each site has a segment
// of its own there is such a folder for every site, below a model.json that names them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DataError, messageOf } from '../base/index.ts';
import { type Graph, readModel, writeModel } from '../onnx/index.ts';
import { atomicWriteFile, makeFolder } from '../store/node/index.ts';
import type { Tensor } from '../tensor/index.ts';
import {
  checkSite,
  type DescribedModel,
  describeModel,
  type ModelDescription,
  parseModelDescription,
} from './model-description.ts';
import { modelGraphs, type TrainedStudy } from './model-graphs.ts';

/** What a model folder is written from: a finished study's server and sites together. */
export interface FinishedStudy extends DescribedModel, Omit<TrainedStudy, 'segment'> {
  /** The selected segment (and head) by site name, or under '' where there is one for all. */
  readonly segments: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
}

/** Writes the folder; throws DataError `bad-file` when it cannot be. A site of a `private` study whose segment is not given has no folder. */
export async function writeModelFolder(folder: string, finished: FinishedStudy): Promise<void> {
  await makeFolder(folder, 0o777);
  const { segments, plan } = finished;
  if (plan.choices.segments !== 'private') {
    const segment = segments[''] ?? Object.values(segments)[0];
    if (!segment) throw new DataError('missing-data', `${plan.study}: its segment is not known here`);
    await writeOne(folder, { ...finished, segment }, describeModel(finished, null));
    return;
  }
  await writeDescription(folder, describeModel(finished, null));
  for (const site of plan.sites) {
    const segment = segments[site];
    if (!segment) continue;
    const own = join(folder, site);
    await makeFolder(own, 0o777);
    await writeOne(own, { ...finished, segment }, describeModel(finished, site));
  }
}

async function writeOne(folder: string, trained: TrainedStudy, description: ModelDescription): Promise<void> {
  for (const [name, graph] of Object.entries(modelGraphs(trained)) as [string, Graph][])
    await atomicWriteFile(join(folder, `${name}.onnx`), writeModel(graph));
  await writeDescription(folder, description);
}

async function writeDescription(folder: string, description: ModelDescription): Promise<void> {
  await atomicWriteFile(join(folder, 'model.json'), `${JSON.stringify(description, null, 2)}\n`);
}

/** One model: its description and graphs. */
export interface Model {
  readonly description: ModelDescription;
  readonly segment: Graph;
  readonly trunk: Graph;
  readonly head: Graph | undefined;
}

/** A model folder whose model.json has been read. */
export interface ModelFolder {
  readonly folder: string;
  readonly description: ModelDescription;
  /** Whether `modelOf` needs a site. */
  readonly needsSite: boolean;
}

/** Reads model.json of `folder`, or of `model/` in it. Throws ConfigError `bad-usage` when there is none, DataError when it is broken. */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  for (const place of [folder, join(folder, 'model')]) {
    const path = join(place, 'model.json');
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const description = parseModelDescription(text, path);
    return { folder: place, description, needsSite: description.private && description.site === null };
  }
  throw new ConfigError('bad-usage', `--model ${folder}: holds no model.json: give the model folder that a run left`);
}

/**
 * The model of a folder. Where each site has its own, `site` says whose. Throws ConfigError `bad-usage` when it is left out or unknown,
 * DataError when a graph is missing or broken.
 */
export async function modelOf({ folder, description, needsSite }: ModelFolder, site?: string): Promise<Model> {
  if (site !== undefined) checkSite(description, site);
  if (needsSite && site === undefined) {
    const message = `each site has a model of its own: name one with --site (${description.sites.join(', ')})`;
    throw new ConfigError('bad-usage', message);
  }
  if (site !== undefined && description.site !== null && description.site !== site)
    throw new ConfigError('bad-usage', `${folder} holds the model of ${description.site}, not of ${site}`);
  const own = needsSite && site !== undefined ? join(folder, site) : folder;
  const graph = async (name: string): Promise<Graph> => {
    const path = join(own, `${name}.onnx`);
    try {
      return readModel(await readFile(path));
    } catch (cause) {
      throw new DataError('bad-file', `${path}: cannot be read: ${messageOf(cause)}`, { cause });
    }
  };
  return {
    description: { ...description, site: needsSite ? (site ?? null) : description.site },
    segment: await graph('segment'),
    trunk: await graph('trunk'),
    head: description.choices.labels === 'site' ? await graph('head') : undefined,
  };
}
