// The end of each epoch: its training loss, validation, which epoch's model is selected, the verdict that the sites hear, and the
// server's half of a commit.

import type { Engine, EngineInfo } from '../engine/index.ts';
import { serverKnowsSegment, stateTensors } from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { type Evaluator, type PartMetrics, selects } from './evaluation.ts';
import { COPY, type StepReport, type Training } from './training.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** One epoch in the history. */
export interface EpochRecord {
  readonly epoch: number;
  /** Mean training loss over the epoch's records; null with the labels at the sites until they report it. */
  readonly trainLoss: number | null;
  readonly val: PartMetrics | null;
  readonly best: boolean;
}

/** The server's half of a commit. */
export interface ServerCommit {
  readonly epoch: number;
  readonly steps: number;
  readonly engine: EngineInfo;
  readonly history: readonly EpochRecord[];
  readonly bestEpoch: number;
  readonly tensors: Tensors;
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
  readonly engine: Engine;
  readonly commit: ((commit: ServerCommit) => Promise<void>) | undefined;
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
    const { plan, links, trunk } = training.options;
    const val = await evaluator.part('val');
    const selected = this.#history[this.#selected.epoch];
    const best = plan.training.select === 'last' || !selected || selects(val, selected.val);
    if (best) {
      this.#selected = {
        epoch,
        trunk: await trunk.state('trunk', scope, false),
        segment: await knownSegment(training),
      };
    }
    const record: EpochRecord = { epoch, trainLoss: loss.take() ?? val?.trainLoss ?? null, val, best };
    this.#history.push(record);
    if (plan.choices.when !== 'detached') {
      const scalars = [best ? 1 : 0, val?.overall.loss ?? 0];
      await Promise.all(links.map((link) => link.send('verdict', { scalars })));
    }
    onEpoch(record);
    await this.#commit(epoch, best);
  }

  /** An epoch that is selected has copies of its parameters already: large ones should not lie there twice. */
  async #commit(epoch: number, isSelected: boolean): Promise<void> {
    const { training, scope, engine, commit } = this.#options;
    if (!commit) return;
    const { trunk } = training.options;
    const { trunk: held, segment } = this.#selected;
    const tensors = isSelected
      ? { ...held, ...(await trunk.slots('trunk', scope)), ...segment }
      : { ...(await trunk.state('trunk', scope, true)), ...(await knownSegment(training)) };
    const { steps } = training;
    const bestEpoch = this.#selected.epoch;
    await commit({ epoch, steps, engine: engine.info, history: this.#history, bestEpoch, tensors });
  }
}

/** The sites' common segment (and head) as the server knows it, parameters and statistics; undefined with `private`. */
async function knownSegment(training: Training): Promise<Tensors | undefined> {
  const { plan, study, trunk } = training.options;
  if (!serverKnowsSegment(plan.choices)) return undefined;
  const parts = study.parts.head ? (['segment', 'head'] as const) : (['segment'] as const);
  const mirrored = plan.choices.segments === 'mirrored' && plan.choices.when !== 'detached';
  const known: Record<string, Tensor> = {};
  for (const part of parts) {
    if (mirrored) Object.assign(known, await trunk.state(part, COPY, false));
    else
      for (const { name } of stateTensors(part, trunk.layout(part), false))
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

  /** The mean over the records since it was last taken; null when there was no loss. */
  take(): number | null {
    const mean = this.#records > 0 ? this.#sums.reduce((sum, one) => sum + one, 0) / this.#records : null;
    this.#sums.fill(0);
    this.#records = 0;
    return mean;
  }
}
