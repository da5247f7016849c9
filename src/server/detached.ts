// `detached`: from the last upload on the server trains alone, on the pool of what its store holds; no site is needed.

import { assert, randomStream } from '../base/index.ts';
import { type Plan, shareOfStep, type SiteCounts, stepCount } from '../protocol/index.ts';
import { type CompiledStudy, dropoutMasks, hyperOf, masksOf } from '../split/index.ts';
import type { ActivationStore, RowPick, SectionKey } from '../store/index.ts';
import { type Tensor, tensor } from '../tensor/index.ts';
import type { Training } from './training.ts';
import { uploadSections } from './uploads.ts';

/** The pool of a part's rows: every site's, in site order, pass by pass. */
export class Pool {
  readonly #picks: RowPick[] = [];
  readonly #labels: number[] = [];
  readonly #store: ActivationStore;

  constructor(store: ActivationStore, sections: readonly SectionKey[]) {
    this.#store = store;
    for (const key of sections) {
      const section = store.section(key);
      for (let row = 0; row < section.rowCount; row++) {
        this.#picks.push({ section: key, row });
        this.#labels.push(section.labels[row] ?? Number.NaN);
      }
    }
  }

  get size(): number {
    return this.#picks.length;
  }

  /** Activations [rows, …cut] and labels of rows of the pool, in their order. */
  async take(rows: Int32Array): Promise<{ cut: Tensor; labels: Float64Array }> {
    const picks = Array.from(rows, (row) => this.#picks[row] as RowPick);
    return {
      cut: await this.#store.read(picks),
      labels: Float64Array.from(rows, (row) => this.#labels[row] ?? Number.NaN),
    };
  }
}

/** The training pool of the sites that take part. */
export function trainingPool(
  plan: Plan,
  counts: readonly SiteCounts[],
  members: readonly number[],
  store: ActivationStore,
): Pool {
  const sections = members.flatMap((site) =>
    uploadSections(plan, site, counts[site] as SiteCounts)
      .filter(({ key }) => key.part === 'train')
      .map(({ key }) => key),
  );
  return new Pool(store, sections);
}

interface PoolEpoch {
  readonly epoch: number;
  readonly firstStep: number;
  /** Server steps before the epoch, and of the whole study. */
  readonly stepsBefore: number;
  readonly totalSteps: number;
  /** Throws when the study is not to go on. */
  readonly check: () => void;
}

/** One epoch of the server alone: the pool shuffled anew, a step on each batch. The epoch's steps before `firstStep` are done. */
export async function trainPoolEpoch(
  training: Training,
  study: CompiledStudy,
  pool: Pool,
  { epoch, firstStep, stepsBefore, totalSteps, check }: PoolEpoch,
): Promise<void> {
  const { plan, trunk, commitIsDue, commit } = training.options;
  const steps = stepCount(pool.size, plan.training.batch);
  const order = randomStream(plan.seed, 'pool-order', [epoch]).permutation(pool.size);
  const classes = plan.task.kind === 'classification';
  let from = 0;
  const rowsOfStep = (step: number): Int32Array => {
    const count = shareOfStep(pool.size, steps, step);
    const rows = order.subarray(from, from + count);
    from += count;
    return rows;
  };
  for (let step = 0; step < firstStep; step++) rowsOfStep(step);
  let next = pool.take(rowsOfStep(firstStep));
  for (let step = firstStep; step < steps; step++) {
    const { cut, labels } = await next;
    check();
    if (step + 1 < steps) {
      next = pool.take(rowsOfStep(step + 1));
      next.catch(() => undefined); // The next turn of the loop sees it.
    }
    const records = labels.length;
    const serverStep = stepsBefore + step;
    const trunkStep = trunk.begin('', {
      target: training.options.target,
      hyper: hyperOf(plan.training, {
        step: serverStep,
        totalSteps,
        update: serverStep + 1,
        scale: 1,
      }),
    });
    const rows = trunkStep.add({
      cut,
      labels: classes
        ? tensor('int32', [records], Int32Array.from(labels))
        : tensor('float32', [records], Float32Array.from(labels)),
      weight: training.lossWeights(labels, records),
      ...dropoutMasks(plan.seed, masksOf(study, 'trunk'), [{ place: [epoch, step], rows: records }]),
    });
    rows.catch(() => undefined); // The end rejects with it.
    await trunkStep.end();
    const { loss } = await rows;
    assert(loss.data.length === records, 'a loss for each record');
    training.tellAlone(epoch, loss, labels);
    if (step + 1 < steps && commitIsDue()) await commit();
  }
}
