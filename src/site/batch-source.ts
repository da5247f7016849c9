// A site's training batches: which records, in what order, with which augmentation and masks. The next batch is loaded while the network
// is busy with the present one.

import type { OpenedData, Records } from '../data/index.ts';
import { type Batch, epochOrder, type Plan, type Schedule } from '../protocol/index.ts';
import { type CompiledStudy, dropoutMasks, type MaskSpec, masksOf } from '../split/index.ts';
import { type Tensor, zeros } from '../tensor/index.ts';

/** A batch, ready for its forward pass. */
export interface LoadedBatch {
  readonly batch: Batch;
  readonly epoch: number;
  /** float32 [N, …input]. */
  readonly x: Tensor;
  /** Dropout masks of segment and head by input name. */
  readonly masks: Readonly<Record<string, Tensor>>;
  readonly labels: Tensor;
}

export class BatchSource {
  readonly #plan: Plan;
  readonly #index: number;
  readonly #data: OpenedData;
  readonly #schedule: Schedule;
  readonly #masks: readonly MaskSpec[];
  #order: { epoch: number; rows: Int32Array } | undefined;
  #ahead: { key: string; batch: Promise<LoadedBatch> } | undefined;

  constructor(plan: Plan, study: CompiledStudy, index: number, data: OpenedData, schedule: Schedule) {
    this.#plan = plan;
    this.#index = index;
    this.#data = data;
    this.#schedule = schedule;
    this.#masks = [...masksOf(study, 'segment'), ...masksOf(study, 'head')];
  }

  /** The site's batches of an epoch. */
  of(epoch: number): readonly Batch[] {
    return this.#schedule.batches(this.#index, epoch);
  }

  /** A batch, loaded; at once if it was loaded ahead. Throws DataError. */
  async take(epoch: number, batch: Batch): Promise<LoadedBatch> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead?.key === `${epoch}/${batch.index}` ? ahead.batch : this.#load(epoch, batch);
  }

  /** Starts loading the batch after this one, if there is one. */
  loadAfter(epoch: number, batch: Batch): void {
    const next = this.of(epoch)[batch.index + 1];
    if (next) this.#start(epoch, next);
    else if (epoch + 1 < this.#plan.training.epochs) this.#start(epoch + 1, this.of(epoch + 1)[0] as Batch);
  }

  /** Waits for what is still being loaded. */
  async close(): Promise<void> {
    await this.#ahead?.batch.catch(() => undefined);
  }

  /** The labels of records as they travel: class index int32, or target float32. */
  labels(records: Records, rows: Int32Array): Tensor {
    const classes = this.#plan.task.kind === 'classification';
    const labels = zeros(classes ? 'int32' : 'float32', [rows.length]);
    const none = classes ? -1 : Number.NaN;
    for (let at = 0; at < rows.length; at++) labels.data[at] = records.labels[rows[at] as number] ?? none;
    return labels;
  }

  #start(epoch: number, next: Batch): void {
    const batch = this.#load(epoch, next);
    batch.catch(() => undefined); // Whoever takes the batch sees the error.
    this.#ahead = { key: `${epoch}/${next.index}`, batch };
  }

  async #load(epoch: number, batch: Batch): Promise<LoadedBatch> {
    const records = this.#data.parts.train;
    const { seed } = this.#plan;
    if (this.#order?.epoch !== epoch)
      this.#order = { epoch, rows: epochOrder(seed, this.#index, epoch, records.count) };
    const rows = this.#order.rows.slice(batch.from, batch.from + batch.count);
    const augmenting = { studySeed: seed, siteIndex: this.#index, epoch, batchIndex: batch.index };
    const masks = dropoutMasks(seed, this.#masks, [{ place: [this.#index, epoch, batch.index], rows: batch.count }]);
    return { batch, epoch, x: await records.load(rows, augmenting), masks, labels: this.labels(records, rows) };
  }
}
