// Predictions of a model folder as CSV (RFC 4180): a record's id or path, then a probability for each class and the class, or the value
// with its unit. No labels are read.

import { type ListOptions, parseDataSettings } from '../data/index.ts';
import { openUnlabelled } from '../data/node/index.ts';
import type { Engine } from '../engine/index.ts';
import { decideClasses } from '../metrics/index.ts';
import { positiveIndex } from '../protocol/index.ts';
import type { ModelDescription } from './model-description.ts';
import { type ModelFolder, modelOf } from './model-folder.ts';
import { predictWith, RunningModel } from './running-model.ts';

/** What is predicted. */
export interface PredictionOptions {
  readonly model: ModelFolder;
  readonly engine: Engine;
  /** The folder or file with records; labels are neither needed nor read. */
  readonly dataPath: string;
  /** Whose model, where each site has its own. */
  readonly site?: string | undefined;
  /** How many bad records may be skipped. Default 0. */
  readonly skipBad?: number | undefined;
  readonly signal?: AbortSignal;
  /** Told how many images have been checked. */
  readonly onChecked?: ListOptions['onChecked'];
}

/** The CSV text of all records' predictions, in the data's order, and what is to be said of them. Throws DataError, or ConfigError `bad-usage` when a site must be named. */
export async function predictCsv(
  options: PredictionOptions,
): Promise<{ readonly csv: string; readonly count: number; readonly remarks: readonly string[] }> {
  const { model, engine, dataPath, site, skipBad = 0, signal, onChecked } = options;
  const { description } = model;
  const running = await RunningModel.load(await modelOf(model, site), engine);
  try {
    const data = await openUnlabelled(parseDataSettings(description.data), dataPath, {
      skipBad,
      signal,
      onChecked,
    });
    try {
      data.setStandardisation(description.standardisation);
      const predictions = await predictWith(running, data.records);
      const csv = predictionsCsv(description, data.records.ids, predictions);
      return { csv, count: data.records.count, remarks: data.remarks };
    } finally {
      await data.close();
    }
  } finally {
    await running.close();
  }
}

/** Predictions `[ids, classes]` or `[ids]` as CSV with a header. */
export function predictionsCsv(
  { task, input }: Pick<ModelDescription, 'task' | 'input'>,
  ids: readonly string[],
  predictions: ArrayLike<number>,
): string {
  const idColumn = input.columns.length > 0 ? 'id' : 'path';
  const lines: (string | number)[][] = [];
  if (task.kind === 'regression') {
    lines.push([idColumn, `${task.target} (${task.unit})`]);
    ids.forEach((id, row) => lines.push([id, predictions[row]!]));
  } else {
    const width = task.classes.length;
    lines.push([idColumn, ...task.classes.map((name) => `p(${name})`), 'class']);
    const decided = decideClasses(predictions, width, positiveIndex(task), task.threshold);
    ids.forEach((id, row) => {
      const own = task.classes.map((_, index) => predictions[row * width + index]!);
      lines.push([id, ...own, task.classes[decided[row]!]!]);
    });
  }
  return lines.map((line) => `${line.map(csvField).join(',')}\r\n`).join('');
}

function csvField(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
