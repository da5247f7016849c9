// A model folder on labelled data: the same figures as a run's own, from the records, the way the sites were dealt them.

import { ConfigError, DataError } from '../base/index.ts';
import { deal, type ListOptions, type Manifest, parseDataSettings, type Part, type Records } from '../data/index.ts';
import { listRecords, openSiteData } from '../data/node/index.ts';
import type { Engine } from '../engine/index.ts';
import { type Metrics, metricsOf } from '../metrics/index.ts';
import { isDealt } from './dealing.ts';
import type { MetricsFile, SplitMetrics } from './metrics-file.ts';
import { checkSite, meaningOf } from './model-description.ts';
import { type ModelFolder, modelOf } from './model-folder.ts';
import { RunningModel } from './running-model.ts';

/** What is evaluated. */
export interface EvaluationOptions {
  readonly model: ModelFolder;
  readonly engine: Engine;
  /** The folder or file with labelled records. */
  readonly dataPath: string;
  readonly parts: readonly Part[];
  /** On the run's own data, this site's records; elsewhere, all records by this site's model. */
  readonly site?: string | undefined;
  /** How many bad records may be skipped. Default 0. */
  readonly skipBad?: number | undefined;
  readonly signal?: AbortSignal;
  /** Told how many images have been checked. */
  readonly onChecked?: ListOptions['onChecked'];
}

/** What an evaluation gives. */
export interface Evaluation {
  readonly metrics: MetricsFile;
  /** What was skipped and what a careful reader should know, a line each. */
  readonly remarks: readonly string[];
}

interface Share {
  /** Null for records of no site. */
  readonly site: string | null;
  readonly manifest: Manifest;
}

interface Outputs {
  readonly values: Float32Array;
  readonly labels: Float64Array;
  readonly groups: Int32Array;
}

/**
 * The figures of the parts asked for. Data that the run was dealt are taken apart by site, as they were then; other data are of no site.
 * Throws DataError when records are missing or wrong, ConfigError `bad-usage` when a site must be named or a part is empty.
 */
export async function evaluateModel(options: EvaluationOptions): Promise<Evaluation> {
  const { model, engine, dataPath, parts, site, skipBad = 0, signal, onChecked } = options;
  const { description } = model;
  if (site !== undefined) checkSite(description, site);
  const startedMs = performance.now();
  const settings = parseDataSettings(description.data);
  const listing = await listRecords(settings, dataPath, { seed: description.seed, skipBad, signal, onChecked });
  const { dealing } = description;
  const shares: readonly Share[] =
    dealing && isDealt(dealing, listing)
      ? deal(listing, dealing.ratio).map((manifest, index) => ({ site: dealing.names[index] ?? '', manifest }))
      : deal(listing, [1]).map((manifest) => ({ site: null, manifest }));
  const wanted = shares.filter((share) => site === undefined || share.site === null || share.site === site);

  const outputs = new Map<Part, { site: string | null; own: Outputs }[]>(parts.map((part) => [part, []]));
  for (const share of wanted) {
    const running = await RunningModel.load(await modelOf(model, share.site ?? site), engine);
    const data = await openSiteData(settings, dataPath, share.manifest);
    try {
      data.pooling.setStandardisation(description.standardisation);
      for (const part of parts)
        outputs.get(part)?.push({ site: share.site, own: await outputsOf(running, data.parts[part]) });
    } finally {
      await data.close();
      await running.close();
    }
  }

  const figures = ({ values, labels, groups }: Outputs): Metrics =>
    metricsOf(meaningOf(description), {
      outputs: values,
      labels,
      groups,
      ...(description.classWeights.length > 0 ? { classWeights: description.classWeights } : {}),
    });
  const splits: Partial<Record<Part, SplitMetrics>> = {};
  for (const [part, own] of outputs) {
    const all = together(own.map((one) => one.own));
    if (all.labels.length === 0) throw new DataError('missing-data', `${dataPath}: has no records in the part ${part}`);
    const bySite = own.flatMap((one) => (one.site === null ? [] : [[one.site, figures(one.own)] as const]));
    splits[part] = { overall: figures(all), sites: Object.fromEntries(bySite) };
  }
  return {
    metrics: {
      study: description.study,
      method: description.method,
      seed: description.seed,
      splits,
      bytesUp: 0,
      bytesDown: 0,
      seconds: (performance.now() - startedMs) / 1000,
      samplesPerSecond: null,
    },
    remarks: [...listing.skipped, ...listing.warnings],
  };
}

/** The parts that `--split test,val` names. Throws ConfigError `bad-usage`. */
export function partsOf(text: string): Part[] {
  return text.split(',').map((name) => {
    if (name !== 'train' && name !== 'val' && name !== 'test')
      throw new ConfigError('bad-usage', `--split ${text}: expected train, val or test, several with commas`);
    return name;
  });
}

async function outputsOf(model: RunningModel, records: Records): Promise<Outputs> {
  return { values: await model.outputs(records), labels: records.labels, groups: records.groups };
}

/** Several sites' outputs as one. A site numbers its groups from 0; together they stay apart. */
function together(sites: readonly Outputs[]): Outputs {
  let firstGroup = 0;
  const groups = sites.flatMap((site) => {
    const moved = Array.from(site.groups, (group) => firstGroup + group);
    firstGroup += site.groups.reduce((most, group) => Math.max(most, group + 1), 0);
    return moved;
  });
  return {
    values: Float32Array.from(sites.flatMap(({ values }) => Array.from(values))),
    labels: Float64Array.from(sites.flatMap(({ labels }) => Array.from(labels))),
    groups: Int32Array.from(groups),
  };
}
