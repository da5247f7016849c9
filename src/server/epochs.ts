// The end of each epoch: its training loss, validation, which epoch's model is selected, and the verdict that the sites hear.

import { serverKnowsSegment, stateTensors } from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { type Evaluator, type PartMetrics, selects } from './evaluation.ts';
import { COPY, hasCopy, type StepReport, type Training } from './training.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** One epoch in the history. */
export interface EpochRecord {
  readonly epoch: number;
  /** Mean training loss over the epoch's records; null with the labels at the sites until they report it. */
  readonly trainLoss: number | null;
  readonly val: PartMetrics | null;
  readonly best: boolean;
}

/** The model of the epoch that is selected. */
export interface Selected {
  readonly epoch: number;
  readonly trunk: Tensors;
  /** The sites' common segment (and head) as the server knows it; undefined with `private`. */
  readonly segment: Tensors | undefined;
}

export interface EpochsOptions {
  readonly training: Training;
  readonly evaluator: Evaluator;
  /** Scope of the trunk that is evaluated and selected. */
  readonly scope: string;
  readonly loss: TrainingLoss;
  /** Keeps the state after an epoch. */
  readonly commit: () => Promise<void>;
  readonly onEpoch: (record: EpochRecord) => void;
}

export class Epochs {
  readonly #options: EpochsOptions;
  readonly #history: EpochRecord[] = [];
  #selected: Selected = { epoch: -1, trunk: {}, segment: undefined };

  constructor(options: EpochsOptions) {
    this.#options = options;
  }

  get history(): readonly EpochRecord[] {
    return this.#history;
  }

  get selected(): Selected {
    return this.#selected;
  }

  /** Ends an epoch at the server and at the sites. */
  async end(epoch: number): Promise<void> {
    const { training, evaluator, scope, loss, onEpoch } = this.#options;
    const { plan, schedule, trunk } = training.options;
    const val = await evaluator.part('val');
    const selected = this.#history[this.#selected.epoch];
    const best = plan.training.select === 'last' || !selected || selects(val, selected.val);
    if (best) {
      this.#selected = {
        epoch,
        trunk: await trunk.state('trunk', scope, false),
        segment: await knownSegment(training, false),
      };
    }
    const record: EpochRecord = { epoch, trainLoss: loss.take() ?? val?.trainLoss ?? null, val, best };
    this.#history.push(record);
    if (plan.choices.when !== 'detached') {
      const scalars = [best ? 1 : 0, val?.overall.loss ?? 0];
      await Promise.all(schedule.members.map((site) => training.link(site).send('verdict', { scalars })));
    }
    onEpoch(record);
    await this.#options.commit();
  }

  /** Goes on from a commit. */
  goOn(history: readonly EpochRecord[], selected: Selected): void {
    this.#history.splice(0, this.#history.length, ...history);
    this.#selected = selected;
  }
}

/** The sites' common segment (and head) as the server knows it, parameters and statistics, with the optimizer's state if asked for; undefined with `private`. */
export async function knownSegment(training: Training, withSlots: boolean): Promise<Tensors | undefined> {
  const { plan, study, trunk } = training.options;
  if (!serverKnowsSegment(plan.choices)) return undefined;
  const parts = study.parts.head ? (['segment', 'head'] as const) : (['segment'] as const);
  const known: Record<string, Tensor> = {};
  for (const part of parts) {
    if (hasCopy(plan)) Object.assign(known, await trunk.state(part, COPY, withSlots));
    else
      for (const { name } of stateTensors(part, trunk.layout(part), withSlots))
        known[name] = training.passed?.[name] as Tensor;
  }
  return known;
}

/** The training loss of an epoch, added up step by step. */
export class TrainingLoss {
  /** Replicas train side by side: a sum for each, so that the order in which their steps end changes no bit. */
  readonly #sums: number[];
  readonly #averaged: boolean;
  #records = 0;

  constructor(siteCount: number, averaged: boolean) {
    this.#sums = new Array<number>(siteCount).fill(0);
    this.#averaged = averaged;
  }

  add({ loss, records, siteLosses }: StepReport): void {
    if (loss === null) return;
    const replica = this.#averaged ? (siteLosses[0]?.site ?? 0) : 0;
    this.#sums[replica] = (this.#sums[replica] ?? 0) + loss * records;
    this.#records += records;
  }

  /** What was added since it was last taken. */
  get state(): { readonly sums: readonly number[]; readonly records: number } {
    return { sums: [...this.#sums], records: this.#records };
  }

  /** Goes on from a commit. */
  goOn({ sums, records }: TrainingLoss['state']): void {
    sums.forEach((sum, replica) => (this.#sums[replica] = sum));
    this.#records = records;
  }

  /** The mean over the records since it was last taken; null when there was no loss. */
  take(): number | null {
    const mean = this.#records > 0 ? this.#sums.reduce((sum, one) => sum + one, 0) / this.#records : null;
    this.#sums.fill(0);
    this.#records = 0;
    return mean;
  }
}
