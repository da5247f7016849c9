// The lines of a script: each message that the plan and the record counts call for, complete but for its values. Which of them pass, and
// in what order, is script.ts's business.

import { bytesPerElement, elementCount } from '../tensor/index.ts';
import type { MessageKind, TensorSpec } from './message.ts';
import type { PartLayout, Plan } from './plan.ts';
import type { Batch } from './schedule.ts';

export type Direction = 'up' | 'down';

/** One message that the script expects, complete but for its values. */
export interface Exchange {
  readonly direction: Direction;
  readonly kind: MessageKind;
  readonly epoch: number;
  readonly step: number;
  readonly part: number;
  readonly chunk: number;
  readonly tensors: readonly TensorSpec[];
  /** How many scalars the message carries. */
  readonly scalars: number;
  /** Whether the message carries the SHA-256 of its tensors. */
  readonly digest: boolean;
  /** The records that the message is about, where it is about records: a range of the epoch's order, or of the part's rows. */
  readonly records?: { readonly from: number; readonly count: number } | undefined;
  /** The site's batch, where the message belongs to one. */
  readonly batch?: Batch | undefined;
  /**
   * Of a message of training: which act of the server in the epoch it is for, or comes of. The server may do an act before messages come
   * that are for later ones, although the script has them before. A line without a place is for all that follows, and comes of all before.
   */
  readonly place?: number | undefined;
}

const segmentParts = ['segment', 'head'] as const;
export type SegmentPart = (typeof segmentParts)[number];

/** The parts of the network that sit at the sites. */
export function partsAtSite(plan: Pick<Plan, 'layouts'>): readonly SegmentPart[] {
  return segmentParts.filter((part) => plan.layouts[part] !== undefined);
}

/** The classes whose counts and histograms are reported: two classes need one histogram, more need one each. */
export function classCountOf(plan: Pick<Plan, 'task'>): number {
  return plan.task.kind === 'classification' ? plan.task.classes.length : 1;
}

/** The newest commits that a site says it holds, by the server steps before each; 0 is the start, which everybody holds. */
export const COMMITS_HELD = 2;

/** Records that one part of one site may have, and one more. */
const RECORDS_BELOW = 2 ** 24;

/** The float64 statistics that a site with the labels reports of one part; report.ts in `site` and `server` fill and read them. */
export const REPORT_STATISTICS = 24;
export const HISTOGRAM_BINS = 1000;

/** Bytes of the tensors of these specs. */
export function tensorBytes(specs: readonly TensorSpec[]): number {
  return specs.reduce((sum, { dtype, dims }) => sum + elementCount(dims) * bytesPerElement(dtype), 0);
}

/** The tensors of a part's whole state in the order in which it travels: parameters, their optimizer slots, statistics. */
export function stateTensors(part: string, layout: PartLayout, withSlots: boolean): readonly TensorSpec[] {
  const specs: TensorSpec[] = [];
  layout.groups.forEach((group, index) => {
    specs.push({ name: `${part}.w${index}`, dtype: 'float32', dims: group.dims });
    for (let slot = 0; withSlots && slot < layout.slots; slot++) {
      specs.push({ name: `${part}.w${index}.s${slot}`, dtype: 'float32', dims: group.dims });
    }
  });
  layout.statistics.forEach((group, index) =>
    specs.push({ name: `${part}.r${index}`, dtype: 'float32', dims: group.dims }),
  );
  return specs;
}

/** The gradient tensors of a part's parameters: float64, so that the sum over sites has the bits of the sum over all their records. */
function gradientTensors(part: string, layout: PartLayout): readonly TensorSpec[] {
  return layout.groups.map((group, index) => ({
    name: `${part}.g${index}`,
    dtype: 'float64',
    dims: group.dims,
    rounded: true,
  }));
}

/** Splits a list of tensors into messages of about 4 MiB; a larger tensor has one of its own. */
export function inChunks(specs: readonly TensorSpec[]): readonly (readonly TensorSpec[])[] {
  const chunks: TensorSpec[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const spec of specs) {
    const size = tensorBytes([spec]);
    if (bytes + size > 4 << 20) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)?.push(spec);
    bytes += size;
  }
  return chunks;
}

/** The logarithm in `rmsle` is of 1 and a value that is not negative. */
function leastLabel({ network }: Plan): Pick<TensorSpec, 'atLeast'> {
  return network.loss === 'rmsle' ? { atLeast: 0 } : {};
}

function memoized<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}

const none: readonly TensorSpec[] = [];

/** What a line says beside its direction and kind, where it says it. */
type About = Partial<Omit<Exchange, 'direction' | 'kind'>>;

/** Makes the lines of one plan's scripts. */
export class Lines {
  readonly #plan: Plan;
  /** What activations of so many records are made of, by part and records: a study has few sizes and many steps. */
  readonly #activations: Map<number, readonly TensorSpec[]>[] = [];
  readonly #cuts = new Map<number, readonly TensorSpec[]>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  line(direction: Direction, kind: MessageKind, about: About, tensors = about.tensors ?? none): Exchange {
    const { epoch = 0, step = 0, part = 0, chunk = 0, scalars = 0, digest = false } = about;
    return {
      direction,
      kind,
      epoch,
      step,
      part,
      chunk,
      tensors,
      scalars,
      digest,
      records: about.records,
      batch: about.batch,
      place: about.place,
    };
  }

  census(): Exchange {
    const classes = classCountOf(this.#plan);
    const tensors: TensorSpec[] = [
      { name: 'counts', dtype: 'int32', dims: [3], below: RECORDS_BELOW },
      { name: 'classes', dtype: 'int32', dims: [3, classes], below: RECORDS_BELOW },
      { name: 'sums', dtype: 'float64', dims: [this.#plan.standardisedColumns + 1, 3] },
    ];
    return this.line('up', 'census', { tensors, scalars: COMMITS_HELD });
  }

  pooled(): Exchange {
    const classes = classCountOf(this.#plan);
    const tensors: TensorSpec[] = [
      { name: 'counts', dtype: 'int32', dims: [this.#plan.sites.length, 3], below: RECORDS_BELOW },
      { name: 'classes', dtype: 'int32', dims: [3, classes], below: 0x7fffffff },
      { name: 'sums', dtype: 'float64', dims: [this.#plan.standardisedColumns + 1, 3] },
      { name: 'members', dtype: 'int32', dims: [this.#plan.sites.length], below: 3 },
    ];
    return this.line('down', 'pooled', { tensors, scalars: 6 });
  }

  /** The activations of records, or their gradient, and nothing else. */
  cut(records: number): readonly TensorSpec[] {
    return memoized(this.#cuts, records, () => [this.#cut(records)]);
  }

  trunkOutput(records: number): readonly TensorSpec[] {
    return [{ name: 'output', dtype: 'float32', dims: [records, ...(this.#plan.network.trunkOutputDims ?? [])] }];
  }

  /** Activations; with the labels at the server also labels, and outside training each record's group. */
  activations(part: number, records: number, about: About): Exchange {
    const known = (this.#activations[part] ??= new Map());
    const tensors = memoized(known, records, () => this.#ofActivations(part, records));
    return this.line('up', 'activations', part === 0 ? about : { ...about, part }, tensors);
  }

  #ofActivations(part: number, records: number): readonly TensorSpec[] {
    const tensors = [this.#cut(records)];
    if (this.#plan.choices.labels === 'server') {
      tensors.push(
        this.#plan.task.kind === 'classification'
          ? { name: 'labels', dtype: 'int32', dims: [records], below: this.#plan.task.classes.length }
          : { name: 'labels', dtype: 'float32', dims: [records], ...leastLabel(this.#plan) },
      );
      if (part !== 0) tensors.push({ name: 'groups', dtype: 'int32', dims: [records], below: 0x7fffffff });
    }
    return tensors;
  }

  #cut(records: number): TensorSpec {
    return { name: 'cut', dtype: 'float32', dims: [records, ...this.#plan.network.cutDims] };
  }

  gradients(
    direction: Direction,
    kind: MessageKind,
    epoch: number,
    step: number,
    parts: readonly (readonly [string, PartLayout])[],
    about: Pick<About, 'batch' | 'place' | 'scalars'>,
  ): Exchange {
    const tensors = parts.flatMap(([part, layout]) => gradientTensors(part, layout));
    return this.line(direction, kind, { ...about, epoch, step, tensors });
  }

  /** Parts' state in as many messages as it takes; the scalars are the optimizer's step count of each part. */
  *weights(
    direction: Direction,
    epoch: number,
    step: number,
    parts: readonly (readonly [string, PartLayout])[],
    withSlots: boolean,
  ): Generator<Exchange, void, undefined> {
    const chunks = inChunks(parts.flatMap(([part, layout]) => stateTensors(part, layout, withSlots)));
    for (const [chunk, tensors] of chunks.entries()) {
      yield this.line(direction, 'weights', { epoch, step: Math.max(0, step), chunk, tensors, scalars: parts.length });
    }
  }

  report(epoch: number, part: number): Exchange {
    const classes = classCountOf(this.#plan);
    const tensors: TensorSpec[] = [{ name: 'statistics', dtype: 'float64', dims: [REPORT_STATISTICS] }];
    if (this.#plan.task.kind === 'classification') {
      tensors.push({ name: 'confusion', dtype: 'int32', dims: [classes, classes], below: 0x7fffffff });
      tensors.push({
        name: 'histograms',
        dtype: 'int32',
        dims: [classes === 2 ? 1 : classes, 2, HISTOGRAM_BINS],
        below: 0x7fffffff,
      });
    }
    return this.line('up', 'report', { epoch, part, tensors });
  }
}
