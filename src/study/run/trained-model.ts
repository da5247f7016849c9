// A model folder, opened: predictions and figures without the command line.

import { parseDataSettings, type Part } from '../../data/index.ts';
import { openUnlabelled } from '../../data/node/index.ts';
import type { Engine } from '../../engine/index.ts';
import { type EngineOptions, openEngine } from '../../engine/node/index.ts';
import { evaluateModel } from '../evaluate.ts';
import type { MetricsFile } from '../metrics-file.ts';
import type { ModelDescription } from '../model-description.ts';
import { type ModelFolder, modelOf, readModelFolder } from '../model-folder.ts';
import { predictWith, RunningModel } from '../running-model.ts';

/** Predictions in the data's order. */
export interface Predictions {
  /** What names each record to its owner: a path below the folder, or an id. */
  readonly ids: readonly string[];
  /** The classes of `values`' columns; null for a regression. */
  readonly classes: readonly string[] | null;
  /** A probability for each class, `[records, classes]` row-major; or the target in its unit, `[records]`. */
  readonly values: Float64Array;
}

/**
 * Opens the folder of a run, or the model folder in it. `site` says whose model where each site has its own. Throws ConfigError
 * `bad-usage` when there is no model or a site must be named, DataError `bad-file` when a file is broken.
 */
export async function openModel(
  folder: string,
  options: EngineOptions & { readonly site?: string } = {},
): Promise<TrainedModel> {
  const { site, ...engineOptions } = options;
  const model = await readModelFolder(folder);
  const own = await modelOf(model, site);
  const engine = await openEngine(engineOptions);
  try {
    return new TrainedModel(model, site, engine, await RunningModel.load(own, engine));
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** A model whose graphs are loaded. */
export class TrainedModel implements AsyncDisposable {
  readonly #model: ModelFolder;
  readonly #site: string | undefined;
  readonly #engine: Engine;
  readonly #running: RunningModel;

  constructor(model: ModelFolder, site: string | undefined, engine: Engine, running: RunningModel) {
    this.#model = model;
    this.#site = site;
    this.#engine = engine;
    this.#running = running;
  }

  /** What model.json says. */
  get description(): ModelDescription {
    return this.#model.description;
  }

  /** Predicts all records of a folder or file that is laid out as the study's data; labels are not needed. Throws DataError. */
  async predict(data: string): Promise<Predictions> {
    const { standardisation, task } = this.description;
    const opened = await openUnlabelled(parseDataSettings(this.description.data), data);
    try {
      opened.setStandardisation(standardisation);
      return {
        ids: opened.records.ids,
        classes: task.kind === 'classification' ? task.classes : null,
        values: await predictWith(this.#running, opened.records),
      };
    } finally {
      await opened.close();
    }
  }

  /** The figures of labelled records, as metrics.json has them. Throws DataError. */
  async evaluate(data: string, parts: readonly Part[] = ['test']): Promise<MetricsFile> {
    const options = { model: this.#model, engine: this.#engine, dataPath: data, parts, site: this.#site };
    return (await evaluateModel(options)).metrics;
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
