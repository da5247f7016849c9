// What a study file may say, section by section. The published study.schema.json is made from this, so every description here is what an
// editor shows.

import { z } from 'zod';
import { dataSettings } from '../data/index.ts';
import {
  choiceValues,
  lossKinds,
  methods,
  optimizerSchema,
  planSchema,
  scheduleSchema,
  trainingSchema,
} from '../protocol/index.ts';

/** The most parts that a ratio's number may name: dealing keeps its sums exact up to here. */
const largestShare = 1000;

const ratioText = `expected a whole number of 1 to ${largestShare} for each site, like [7, 2, 1] or "7:2:1"`;
const ratio = z.union(
  [
    z.array(z.int().min(1).max(largestShare)).min(1).max(10_000),
    z.string().regex(/^[1-9]\d{0,2}(:[1-9]\d{0,2})*$/, ratioText),
  ],
  { error: ratioText },
);

const choices = z
  .strictObject({
    labels: z
      .enum(choiceValues.labels)
      .describe(
        'Where the labels are used, always written out. server: labels leave with the activations. site: they stay, and head and loss sit at the site.',
      ),
    when: z
      .enum(choiceValues.when)
      .optional()
      .describe(
        'live: a cut gradient returns at every step. buffered: a site runs training.windowSteps steps ahead. detached: the segment is frozen and sites may leave after their upload.',
      ),
    order: z
      .enum(choiceValues.order)
      .optional()
      .describe('Which batches make a server step: union (all sites together), turns, arrival, or none.'),
    trunk: z
      .enum(choiceValues.trunk)
      .optional()
      .describe('One trunk, or a replica for each site, averaged each round.'),
    segments: z.enum(choiceValues.segments).optional().describe('How the sites’ segments relate to each other.'),
    segmentSeed: z
      .enum(choiceValues.segmentSeed)
      .default('study')
      .describe('Where the segment starts from: the study’s seed, which all know, or a secret of the site.'),
  })
  .describe('How the study is trained. Each choice overrides the method’s.');

const sites = z
  .strictObject({
    count: z.int().min(1).max(10_000).optional().describe('Default: as many as ratio or names has.'),
    ratio: ratio
      .optional()
      .describe('Shares by which `septum run` deals the records: [7, 2, 1] or "7:2:1". Default: equal.'),
    names: planSchema.shape.sites.optional().describe('Default: site-1, site-2, …'),
    quorum: planSchema.shape.quorum.describe(
      'Sites with which the study goes on when the others stay away. Default: all; a lost site is then waited for.',
    ),
    stragglerTimeoutMs: planSchema.shape.stragglerTimeoutMs.describe(
      'With a quorum, how long a site that is away or silent is waited for, in milliseconds. Default: 60000.',
    ),
  })
  .describe('The sites that take part.');

const network = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .optional()
      .describe('One of Septum’s networks: lipid-mlp, ct-cnn, ct-1plus4, vgg19, vgg19-64.'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('Instead of a name: path of an .onnx file, from the study file’s folder.'),
    start: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Path of an .onnx file, an earlier study’s joined.onnx for one, whose weights a named network starts from.',
      ),
    options: z
      .record(z.string(), z.number())
      .default({})
      .describe('Options of a named network. inputs, channels, size and classes follow from the data when left out.'),
    cut: z.string().min(1).optional().describe('The value that is the activations. Default: the named network’s own.'),
    headCut: z.string().min(1).optional().describe('The value where the head begins, with labels: site.'),
    loss: z
      .enum(lossKinds)
      .optional()
      .describe('Default: mse for a number, binary-cross-entropy for one logit, softmax-cross-entropy for several.'),
  })
  .describe('The network and where it is cut.');

const { shape } = trainingSchema;
const training = trainingSchema
  .extend({
    batch: shape.batch.default(64).describe('Records in one server step, over all sites.'),
    epochs: shape.epochs.default(40).describe('Passes over the training part.'),
    learningRate: shape.learningRate.default(1e-3),
    optimizer: optimizerSchema.prefault({ kind: 'adam' }).describe('sgd, adam or adamw.'),
    schedule: scheduleSchema
      .default({ kind: 'constant', warmupSteps: 0 })
      .describe('How the learning rate goes over the server steps: constant, step or cosine.'),
    clipNorm: shape.clipNorm.describe('Largest norm of one part’s gradient. Default: no clipping.'),
    sampling: shape.sampling.describe(
      'proportional: each step takes every site’s share. global: as drawn from the pooled records.',
    ),
    turnOrder: shape.turnOrder.describe('With order: turns. Default: fixed; shuffled with method: splitfed-v2.'),
    turnSteps: shape.turnSteps.describe('With order: turns, steps of one turn. Default: one local epoch.'),
    roundSteps: shape.roundSteps.describe('Steps between two averages. Default: an epoch.'),
    windowSteps: shape.windowSteps.describe('With when: buffered, steps that a site may have in flight. Default: 4.'),
    discipline: shape.discipline.describe(
      'With order: arrival, whose batch is next of those that wait: fair (by data share), fifo, least-served. Default: fair, with when: live fifo.',
    ),
    classWeights: shape.classWeights.describe('balanced: a class counts in the loss by the inverse of its records.'),
    augmentPasses: shape.augmentPasses.describe(
      'With when: detached, augmented passes over the training part beside the plain one.',
    ),
    select: shape.select.describe('Which epoch’s model is kept: the best by validation, or the last.'),
  })
  .describe('Batches, epochs and the optimizer.');

const task = z
  .strictObject({
    threshold: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe('Probability of the positive class from which a record counts as positive. Default 0.5.'),
  })
  .describe('How predictions are decided.');

const gives = z
  .strictObject({
    trunkToSites: z.boolean().default(true).describe('At the end the trunk goes to every site.'),
    segmentsToServer: z
      .boolean()
      .default(false)
      .describe('At the end the sites’ private segments go to the server. Other segments it knows anyway.'),
  })
  .describe('Who receives which weights at the end.');

/** The sections of a study file. */
export const studySchema = z
  .strictObject({
    study: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'a name is 1 to 64 letters, digits, dots, dashes or underscores')
      .describe('The study’s name: letters, digits, dots, dashes, underscores.'),
    seed: planSchema.shape.seed
      .max(2 ** 32 - 1)
      .default(1)
      .describe('Everything random follows from it.'),
    method: z
      .enum(methods as [(typeof methods)[number], ...typeof methods])
      .default('septum')
      .describe('Names when, order, trunk and segments at once.'),
    choices,
    sites,
    network,
    training: training.prefault({}),
    data: dataSettings.describe('Where the records come from and how they become inputs; the same at every site.'),
    task: task.prefault({}),
    gives: gives.prefault({}),
  })
  .meta({ title: 'Septum study', description: 'One training job of Septum: its sites, network, training and data.' });
/** A study file's content with every default filled in. */
export type StudySections = z.output<typeof studySchema>;

/** The JSON Schema (draft 7, which editors know best) of a study file as its author writes it. */
export function studyJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(studySchema, { io: 'input', target: 'draft-7', reused: 'inline' });
}
