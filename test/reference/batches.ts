// Which records make which batch, written again from SEMANTICS.md, "Steps, epochs, rounds".

import { randomStream } from '../../src/base/index.ts';
import type { OpenedData } from '../../src/data/index.ts';
import type { Plan } from '../../src/protocol/index.ts';
import { tensor, type Tensor } from '../../src/tensor/index.ts';

/** A batch of one site. */
export interface SiteBatch {
  readonly site: number;
  readonly epoch: number;
  /** Batches that this site had earlier in the epoch. */
  readonly index: number;
  readonly rows: Int32Array;
}

/** A batch with its records. */
export interface LoadedBatch extends SiteBatch {
  readonly x: Tensor;
  readonly labels: Tensor;
}

/** How `records` are spread over `steps`: floor((t+1)·n/S) - floor(t·n/S) in step t. */
export function spread(records: number, steps: number): number[] {
  const sizes: number[] = [];
  for (let t = 0; t < steps; t++)
    sizes.push(Math.floor(((t + 1) * records) / steps) - Math.floor((t * records) / steps));
  return sizes;
}

/** A site's batches of these sizes in its own order of the epoch; undefined where the size is zero. */
export function batchesOf(
  plan: Plan,
  site: number,
  epoch: number,
  sizes: readonly number[],
): (SiteBatch | undefined)[] {
  const records = sizes.reduce((sum, size) => sum + size, 0);
  const order = randomStream(plan.seed, 'epoch-order', [site, epoch]).permutation(records);
  let from = 0;
  let index = 0;
  return sizes.map((size) => {
    if (size === 0) return undefined;
    const rows = order.slice(from, from + size);
    from += size;
    return { site, epoch, index: index++, rows };
  });
}

/** A site's batches in the orders in which a step is one site's. */
export function ownBatches(plan: Plan, site: number, epoch: number, records: number): SiteBatch[] {
  const steps = Math.ceil(records / plan.training.batch);
  return batchesOf(plan, site, epoch, spread(records, steps)).filter((batch) => batch !== undefined);
}

/** The batches of every step of an epoch of `union`, each in site order; a site whose share is zero sits the step out. */
export function unionSteps(plan: Plan, epoch: number, counts: readonly number[]): SiteBatch[][] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const steps = Math.ceil(total / plan.training.batch);
  const sizes =
    plan.training.sampling === 'global'
      ? globalSizes(plan, epoch, counts, steps)
      : counts.map((count) => spread(count, steps));
  const sites = sizes.map((own, site) => batchesOf(plan, site, epoch, own));
  return Array.from({ length: steps }, (_, step) =>
    sites.map((batches) => batches[step]).filter((batch) => batch !== undefined),
  );
}

/** All records' site labels are shuffled; a step takes the next `batch` of them. */
function globalSizes(plan: Plan, epoch: number, counts: readonly number[], steps: number): number[][] {
  const labels = counts.flatMap((count, site) => new Array<number>(count).fill(site));
  const order = randomStream(plan.seed, 'global-sampling', [epoch]).permutation(labels.length);
  const shuffled = Array.from(order, (place) => labels[place]);
  const { batch } = plan.training;
  return counts.map((_, site) =>
    Array.from(
      { length: steps },
      (_step, step) => shuffled.slice(step * batch, (step + 1) * batch).filter((label) => label === site).length,
    ),
  );
}

/** Reads a batch's records at its site. */
export async function load(plan: Plan, data: readonly OpenedData[], batch: SiteBatch): Promise<LoadedBatch> {
  const records = (data[batch.site] as OpenedData).parts.train;
  const augmenting = {
    studySeed: plan.seed,
    siteIndex: batch.site,
    epoch: batch.epoch,
    batchIndex: batch.index,
  };
  const labels = Array.from(batch.rows, (row) => records.labels[row] as number);
  return { ...batch, x: await records.load(batch.rows, augmenting), labels: labelTensor(plan, labels) };
}

/** Class indices int32 [N], or targets float32 [N]. */
export function labelTensor(plan: Plan, labels: readonly number[]): Tensor {
  return plan.task.kind === 'classification'
    ? tensor('int32', [labels.length], Int32Array.from(labels))
    : tensor('float32', [labels.length], Float32Array.from(labels));
}

/** Each record's weight in the step's loss Σ w·ℓ / (records in the step): w of its class over the records, float32 [N]. */
export function lossWeights(plan: Plan, classWeights: readonly number[], labels: Tensor, records: number): Tensor {
  const weights = Array.from(labels.data as Int32Array | Float32Array, (label) =>
    plan.task.kind === 'classification' ? (classWeights[label] as number) / records : 1 / records,
  );
  return tensor('float32', [weights.length], Float32Array.from(weights));
}

/** Σ weight·loss over the records. */
export function weighted(loss: Tensor, weight: Tensor): number {
  let sum = 0;
  for (let row = 0; row < loss.data.length; row++) sum += Number(loss.data[row]) * Number(weight.data[row]);
  return sum;
}

/** Rows of several tensors one after another. */
export function concatenate(values: readonly Tensor[]): Tensor {
  const [first] = values as [Tensor];
  const rows = values.reduce((sum, value) => sum + (value.dims[0] as number), 0);
  const numbers = values.flatMap((value) => Array.from(value.data as Float32Array));
  const dims = [rows, ...first.dims.slice(1)];
  return first.dtype === 'int32'
    ? tensor('int32', dims, Int32Array.from(numbers))
    : tensor('float32', dims, Float32Array.from(numbers));
}

/** The rows of `whole` that belong to each of `parts`, in their order. */
export function separate(whole: Tensor, parts: readonly SiteBatch[]): Tensor[] {
  const width = whole.data.length / (whole.dims[0] as number);
  let from = 0;
  return parts.map(({ rows }) => {
    const data = (whole.data as Float32Array<ArrayBuffer>).slice(from * width, (from + rows.length) * width);
    from += rows.length;
    return tensor('float32', [rows.length, ...whole.dims.slice(1)], data);
  });
}
