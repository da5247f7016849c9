// The plan: everything that a study fixes, as one validated value with a hash. Server and sites each make it from the study file and
// compile its graphs themselves; both refuse a peer whose plan has another hash.

import { z } from 'zod';
import { ConfigError, sha256Hex } from '../base/index.ts';
import { choiceValues, refusalOf } from './choices.ts';

const count = z.int().min(1).max(1e9);
const siteName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'a site name is 1 to 64 letters, digits, dots, dashes or underscores');

export const optimizerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sgd'),
    momentum: z.number().min(0).lt(1).default(0),
    nesterov: z.boolean().default(false),
    weightDecay: z.number().min(0).max(1).default(0),
  }),
  z.strictObject({
    kind: z.enum(['adam', 'adamw']),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.999),
    epsilon: z.number().positive().max(1).default(1e-8),
    weightDecay: z.number().min(0).max(1).default(0),
  }),
]);
export type OptimizerSettings = z.infer<typeof optimizerSchema>;

export const scheduleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), warmupSteps: z.int().min(0).default(0) }),
  z.strictObject({
    kind: z.literal('step'),
    warmupSteps: z.int().min(0).default(0),
    everySteps: count,
    factor: z.number().positive().max(1),
  }),
  z.strictObject({
    kind: z.literal('cosine'),
    warmupSteps: z.int().min(0).default(0),
    floor: z.number().min(0).max(1).default(0),
  }),
]);
export type ScheduleSettings = z.infer<typeof scheduleSchema>;

export const lossKinds = ['softmax-cross-entropy', 'binary-cross-entropy', 'mse', 'rmsle'] as const;
export type LossKind = (typeof lossKinds)[number];

/** How the next batch is chosen of those that wait, with `arrival` (src/server/disciplines.ts). */
export const disciplines = ['fair', 'fifo', 'least-served'] as const;
export type Discipline = (typeof disciplines)[number];

export const trainingSchema = z.strictObject({
  /** Records in one server step. */
  batch: count.max(1e6),
  epochs: count.max(1e5),
  learningRate: z.number().positive().max(100),
  optimizer: optimizerSchema,
  schedule: scheduleSchema.default({ kind: 'constant', warmupSteps: 0 }),
  /** Largest norm of one part's gradient; left out: no clipping. */
  clipNorm: z.number().positive().optional(),
  sampling: z.enum(['proportional', 'global']).default('proportional'),
  turnOrder: z.enum(['fixed', 'shuffled']).default('fixed'),
  turnSteps: count.optional(),
  roundSteps: count.optional(),
  /** `buffered`: steps that a site may have in flight. A plan with `buffered` has it. */
  windowSteps: count.max(1000).optional(),
  /** `arrival`: which site's batch is next of those that wait. A plan with `arrival` has it. */
  discipline: z.enum(disciplines).optional(),
  classWeights: z.enum(['none', 'balanced']).default('none'),
  /** `detached`: augmented passes over the training part, beside the plain one. */
  augmentPasses: z.int().min(0).max(1000).default(0),
  select: z.enum(['best-val', 'last']).default('best-val'),
});
export type TrainingSettings = z.infer<typeof trainingSchema>;

export const taskSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('classification'),
    classes: z.array(z.string().min(1).max(100)).min(2).max(1000),
    /** The class whose probability the AUC and the threshold are about; with two classes only. */
    positive: z.string().optional(),
    threshold: z.number().gt(0).lt(1).default(0.5),
  }),
  z.strictObject({ kind: z.literal('regression'), target: z.string().min(1), unit: z.string() }),
]);
export type Task = z.infer<typeof taskSchema>;

const dims = z.array(z.int().min(1).max(1e9)).max(8);

/** One tensor of a part's parameters as the graphs take it: one parameter, or a small network's parameters packed end to end. */
export const groupSchema = z.strictObject({
  name: z.string(),
  dims,
  members: z.array(z.strictObject({ name: z.string(), dims, offset: z.int().min(0) })),
});
export type ParameterGroup = z.infer<typeof groupSchema>;

export const layoutSchema = z.strictObject({
  groups: z.array(groupSchema),
  /** Running statistics; they are averaged and relayed with the parameters, never updated by a gradient. */
  statistics: z.array(groupSchema),
  /** The optimizer's tensors for each group: 1 for momentum, 2 for Adam. */
  slots: z.int().min(0).max(2),
});
export type PartLayout = z.infer<typeof layoutSchema>;

export const planSchema = z.strictObject({
  format: z.literal(1),
  study: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/),
  seed: z.int().min(0),
  sites: z.array(siteName).min(1).max(10_000),
  /** Sites that have to take part at least. A plan has it if the study goes on without the others, and only then. */
  quorum: count.max(10_000).optional(),
  /** How long the study then waits for a site before it goes on without it, in milliseconds. */
  stragglerTimeoutMs: z
    .int()
    .min(100)
    .max(7 * 86_400_000)
    .optional(),
  choices: z.strictObject({
    when: z.enum(choiceValues.when),
    labels: z.enum(choiceValues.labels),
    order: z.enum(choiceValues.order),
    trunk: z.enum(choiceValues.trunk),
    segments: z.enum(choiceValues.segments),
    segmentSeed: z.enum(choiceValues.segmentSeed),
  }),
  network: z.strictObject({
    name: z.string(),
    options: z.record(z.string(), z.json()),
    /** SHA-256 of the user's .onnx file, where the network comes from one. */
    file: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
    /** SHA-256 of the .onnx file whose weights a named network starts from. */
    start: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
    inputDims: dims,
    cut: z.string(),
    cutDims: dims,
    headCut: z.string().optional(),
    /** Dimensions of the trunk's output where the head sits at the site. */
    trunkOutputDims: dims.optional(),
    outputDims: dims,
    loss: z.enum(lossKinds),
  }),
  training: trainingSchema,
  task: taskSchema,
  data: z.record(z.string(), z.json()),
  /** Input columns whose sums are pooled for standardisation; 0 for images. */
  standardisedColumns: z.int().min(0).max(1e6),
  /** A site with fewer training records is refused; also the least count in a reported statistic. */
  minCount: count,
  layouts: z.strictObject({ segment: layoutSchema, trunk: layoutSchema, head: layoutSchema.optional() }),
  /** SHA-256 of each graph's file, by the graph's name. */
  graphs: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
  /** The trunk goes to every site at the end. */
  trunkToSites: z.boolean(),
  /** The sites' segments go to the server at the end. */
  segmentsToServer: z.boolean(),
  /** Who learns which weights and what leaves, in plain words. */
  statements: z.array(z.string()),
  /** What each message of a kind costs: bytes of tensors a record, or a message where it does not depend on records. */
  leaves: z.array(
    z.strictObject({
      kind: z.string(),
      direction: z.enum(['up', 'down']),
      bytes: z.number(),
      per: z.enum(['record', 'message']),
    }),
  ),
});

/** A study's plan. */
export type Plan = z.infer<typeof planSchema>;

/** Validates a plan from outside. Throws ConfigError with all problems. */
export function parsePlan(value: unknown): Plan {
  const result = planSchema.safeParse(value);
  if (!result.success) {
    throw new ConfigError(
      'bad-study',
      result.error.issues.map((issue) => `plan: ${issue.path.join('.')}: ${issue.message}`),
    );
  }
  const { choices, training } = result.data;
  const refusal = refusalOf(choices);
  if (refusal !== undefined) throw new ConfigError('combination-refused', refusal);
  const { quorum, stragglerTimeoutMs, sites } = result.data;
  if ((quorum !== undefined) !== (stragglerTimeoutMs !== undefined))
    throw new ConfigError('bad-study', 'plan: quorum and stragglerTimeoutMs: a plan has both or neither');
  if (quorum !== undefined && quorum >= sites.length)
    throw new ConfigError('bad-study', `plan: quorum: ${quorum} of ${sites.length} sites; without one all take part`);
  if ((training.windowSteps !== undefined) !== (choices.when === 'buffered'))
    throw new ConfigError('bad-study', 'plan: training.windowSteps: a plan has it if it is buffered, and only then');
  if ((training.discipline !== undefined) !== (choices.order === 'arrival'))
    throw new ConfigError(
      'bad-study',
      'plan: training.discipline: a plan has it if its order is arrival, and only then',
    );
  return result.data;
}

const windowStepsUsual = 4;

/** The settings with a window where the choices have a queue and with a discipline where they need one; neither elsewhere. */
export function withQueue(training: TrainingSettings, { when, order }: Plan['choices']): TrainingSettings {
  const { windowSteps = windowStepsUsual, discipline = when === 'buffered' ? 'fair' : 'fifo', ...rest } = training;
  return {
    ...rest,
    ...(when === 'buffered' ? { windowSteps } : {}),
    ...(order === 'arrival' ? { discipline } : {}),
  };
}

/** Steps that a site may have in flight: 1 where it is with the server at every step. */
export function windowOf({ training }: Pick<Plan, 'training'>): number {
  return training.windowSteps ?? 1;
}

/** Sites that have to take part at least. */
export function quorumOf({ quorum, sites }: Pick<Plan, 'quorum' | 'sites'>): number {
  return quorum ?? sites.length;
}

/** SHA-256 of the plan's canonical JSON: keys sorted, no white space. */
export function planHash(plan: Plan): string {
  return sha256Hex(new TextEncoder().encode(canonicalJson(plan)));
}

/** JSON with the keys of every object in code point order and without white space. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}
