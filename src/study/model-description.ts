// model.json: everything that is needed to use a model folder besides its graphs.

import { z } from 'zod';
import { ConfigError, DataError } from '../base/index.ts';
import { describeInputs, parseDataSettings } from '../data/index.ts';
import type { OutputMeaning } from '../metrics/index.ts';
import {
  classWeights,
  lossKinds,
  methods,
  outputMeaning,
  type Plan,
  planHash,
  presets,
  type Choices,
  type Method,
  planSchema,
  taskSchema,
} from '../protocol/index.ts';
import type { Dealing } from './dealing.ts';

const counts = z.array(z.int().min(0));
const dealing = z.strictObject({
  names: z.array(z.string()),
  ratio: z.array(z.int().min(1)),
  records: z.string(),
  counts: z.record(z.string(), z.strictObject({ train: counts, val: counts, test: counts })),
});

const modelSchema = z.strictObject({
  format: z.literal(1),
  study: z.string(),
  /** The preset of the choices; null where none has them. */
  method: z.enum(methods as [Method, ...Method[]]).nullable(),
  seed: z.int().min(0),
  planHash: z.string(),
  choices: planSchema.shape.choices,
  network: z.string(),
  loss: z.enum(lossKinds),
  task: taskSchema,
  /** The study file's `data:` section. */
  data: z.record(z.string(), z.json()),
  input: z.strictObject({
    dims: z.array(z.int().min(1)),
    columns: z.array(
      z.strictObject({
        name: z.string(),
        kind: z.enum(['number', 'category', 'missing']),
        unit: z.string(),
        source: z.string(),
      }),
    ),
    pixels: z.strictObject({ mean: z.array(z.number()), sd: z.array(z.number()) }).nullable(),
    synthetic: z.boolean(),
  }),
  /** One number for each column of the input; empty for images. */
  standardisation: z.strictObject({ mean: z.array(z.number()), sd: z.array(z.number()) }),
  /** Of a regression target; null for classes. */
  target: z.strictObject({ mean: z.number(), sd: z.number() }).nullable(),
  /** Weight of each class in the loss; empty where every record counts alike. */
  classWeights: z.array(z.number()),
  sites: z.array(z.string()),
  /** Whether each site has a model of its own. */
  private: z.boolean(),
  /** The site whose own model this folder holds; null for one that serves all, and for the folder above the sites'. */
  site: z.string().nullable(),
  /** How the records of a run on one machine were dealt; null elsewhere. */
  dealing: dealing.nullable(),
  /** Program versions: septum, node, onnxruntime. */
  versions: z.record(z.string(), z.string()),
});

/** What model.json says. */
export type ModelDescription = z.output<typeof modelSchema>;

/** What a description is made from. */
export interface DescribedModel {
  readonly plan: Plan;
  /** [mean, sd] of each standardised column, and of a regression target last. */
  readonly standardisation: readonly (readonly [number, number])[];
  /** Training records of each class. */
  readonly classCounts: readonly number[];
  readonly dealing?: Dealing | undefined;
  readonly versions: Readonly<Record<string, string>>;
}

/** The description of a finished study's model; of `site` where each site has its own. */
export function describeModel(model: DescribedModel, site: string | null): ModelDescription {
  const { plan, standardisation, classCounts, versions } = model;
  const input = describeInputs(parseDataSettings(plan.data));
  const columns = input.columns.map((_, column) => standardisation[column] ?? ([0, 1] as const));
  const [mean, sd] = standardisation.at(-1) ?? [0, 1];
  return JSON.parse(
    JSON.stringify({
      format: 1,
      study: plan.study,
      method: methodOf(plan.choices),
      seed: plan.seed,
      planHash: planHash(plan),
      choices: plan.choices,
      network: plan.network.name,
      loss: plan.network.loss,
      task: plan.task,
      data: plan.data,
      input,
      standardisation: { mean: columns.map(([value]) => value), sd: columns.map(([, value]) => value) },
      target: plan.task.kind === 'regression' ? { mean, sd } : null,
      classWeights: plan.task.kind === 'classification' ? classWeights(plan.training.classWeights, classCounts) : [],
      sites: plan.sites,
      private: plan.choices.segments === 'private',
      site,
      dealing: model.dealing ?? null,
      versions,
    } satisfies Record<keyof ModelDescription, unknown>),
  ) as ModelDescription;
}

/** Reads a model.json. `place` is for messages. Throws DataError `bad-file` with every problem. */
export function parseModelDescription(text: string, place: string): ModelDescription {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError('bad-file', `${place}: is not JSON`, { cause });
  }
  const parsed = modelSchema.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${place}: ${path.join('.')}: ${message}`);
    throw new DataError('bad-file', problems, { cause: parsed.error });
  }
  return parsed.data;
}

/** How the network's output is read. */
export function meaningOf({ task, loss, target }: ModelDescription): OutputMeaning {
  return outputMeaning({ task, network: { loss } }, target ?? { mean: 0, sd: 1 });
}

/** The preset that names these choices; null when none does. */
export function methodOf(choices: Choices): Method | null {
  const named = methods.find((method) => {
    const { when, order, trunk, segments } = presets[method];
    return when === choices.when && order === choices.order && trunk === choices.trunk && segments === choices.segments;
  });
  return named ?? null;
}

/** Throws ConfigError unless `site` is one of the model's. */
export function checkSite({ sites, study }: ModelDescription, site: string): void {
  if (!sites.includes(site))
    throw new ConfigError('bad-usage', `--site ${site} is none of the sites of ${study}: ${sites.join(', ')}`);
}
