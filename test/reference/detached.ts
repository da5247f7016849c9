// `when: detached`: the frozen segments run once, and the trunk is trained alone on the pool (SEMANTICS.md, "`detached`").

import { randomStream } from '../../src/base/index.ts';
import { dropoutMasks, masksOf } from '../../src/split/index.ts';
import { type Tensor, tensor } from '../../src/tensor/index.ts';
import type { PoolStretch } from './attendance.ts';
import { concatenate, labelTensor, lossWeights, spread, weighted } from './batches.ts';
import { advance } from './graphs.ts';
import type { Course } from './orders.ts';
import { nextHyper, type Party } from './study.ts';

/** Activations `[rows, …cut]` with their labels, of one site or of several. */
interface Pool {
  readonly cut: Tensor;
  readonly labels: readonly number[];
}

/** The training part of each site: plain first, then each augmented pass. */
export async function poolsOf({ open, sites }: Course): Promise<readonly Pool[]> {
  const { plan, data, graphs } = open;
  const pools: Pool[] = [];
  for (const [site, party] of sites.entries()) {
    const cuts: Tensor[] = [];
    const labels: number[] = [];
    const records = data[site]!.parts.train;
    const rows = Array.from({ length: records.count }, (_, row) => row);
    for (let pass = 0; pass <= plan.training.augmentPasses; pass++) {
      const augmenting = { studySeed: plan.seed, siteIndex: site, epoch: 0, batchIndex: pass };
      const x = await (pass === 0 ? records.load(rows) : records.load(rows, augmenting));
      cuts.push((await graphs.run('segment-evaluate', { ...party.state, x }))['cut'] as Tensor);
      labels.push(...records.labels);
    }
    pools.push({ cut: concatenate(cuts), labels });
  }
  return pools;
}

/** An epoch of the server alone, on the pool of the sites that are there; begun anew where another enters or leaves. */
export async function detachedEpoch(course: Course, pools: readonly Pool[], epoch: number): Promise<void> {
  for (const stretch of course.attendance.poolStretches(epoch)) {
    const own = pools.filter((_, site) => stretch.present[site]);
    const pool = { cut: concatenate(own.map(({ cut }) => cut)), labels: own.flatMap(({ labels }) => labels) };
    await trainOn(course, pool, epoch, stretch);
  }
}

/** The epoch's first steps on the shuffled pool, as many as the stretch has. */
async function trainOn(
  { open, trunks, losses }: Course,
  pool: Pool,
  epoch: number,
  { stepsBefore, totalSteps, steps }: PoolStretch,
): Promise<void> {
  const { plan, study, graphs, facts } = open;
  const trunk = trunks[0] as Party;
  const order = randomStream(plan.seed, 'pool-order', [epoch]).permutation(pool.labels.length);
  const sizes = spread(order.length, Math.ceil(order.length / plan.training.batch));
  let from = 0;
  for (const [step, size] of sizes.slice(0, steps).entries()) {
    const rows = Array.from(order.subarray(from, from + size));
    from += size;
    const labels = labelTensor(
      plan,
      rows.map((row) => pool.labels[row] as number),
    );
    const weight = lossWeights(plan, facts.classWeights, labels, size);
    const rate = { step: stepsBefore + step, totalSteps };
    const outputs = await graphs.run('trunk-step', {
      ...trunk.state,
      cut: rowsOf(pool.cut, rows),
      labels,
      weight,
      target: facts.target,
      hyper: nextHyper(open, trunk, rate, 1),
      ...dropoutMasks(plan.seed, masksOf(study, 'trunk'), [{ place: [epoch, step], rows: size }]),
    });
    trunk.state = advance(trunk.state, outputs);
    losses.push({ epoch, sites: [{ site: -1, loss: weighted(outputs['loss'] as Tensor, weight) }] });
  }
}

function rowsOf(value: Tensor, rows: readonly number[]): Tensor {
  const width = value.data.length / (value.dims[0] as number);
  const data = new Float32Array(rows.length * width);
  for (const [index, row] of rows.entries())
    data.set((value.data as Float32Array).subarray(row * width, (row + 1) * width), index * width);
  return tensor('float32', [rows.length, ...value.dims.slice(1)], data);
}
