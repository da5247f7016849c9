// Validation and selection (SEMANTICS.md, "Evaluation and selection"): the epoch of the highest AUC or the lowest RMSE, the earliest of equals.

import type { Plan } from '../../src/protocol/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import type { Course } from './orders.ts';

interface Scored {
  readonly site: number;
  /** The probability of the positive class, or the prediction. */
  readonly score: number;
  readonly label: number;
}

/** The figure of the validation part, the higher the better; null where there is none. */
export async function validationFigure(
  { open, trunks, sites, attendance }: Course,
  epoch: number,
): Promise<number | null> {
  const { plan, data, graphs, facts } = open;
  const scored: Scored[] = [];
  const last = attendance.perEpoch(epoch) - 1;
  for (const [site, party] of sites.entries()) {
    if (!attendance.isThere(site, epoch, last)) continue;
    const records = data[site]!.parts.val;
    const rows = Array.from({ length: records.count }, (_, row) => row);
    if (rows.length === 0) continue;
    const { cut } = await graphs.run('segment-evaluate', { ...party.state, x: await records.load(rows) });
    const after = await graphs.run('trunk-evaluate', { ...trunks[0]?.state, cut: cut as Tensor });
    const { y } =
      plan.choices.labels === 'site' ? await graphs.run('head-evaluate', { ...party.state, ...after }) : after;
    for (const row of rows)
      scored.push({ site, score: scoreOf(plan, y as Tensor, row, facts.target), label: records.labels[row] as number });
  }
  if (scored.length === 0) return null;
  if (plan.task.kind === 'regression')
    return -Math.sqrt(scored.reduce((sum, { score, label }) => sum + (score - label) ** 2, 0) / scored.length);
  return areaUnderCurve(plan, scored);
}

function scoreOf({ network, task }: Plan, y: Tensor, row: number, target: Tensor): number {
  const data = y.data as Float32Array;
  if (task.kind === 'regression') return Number(target.data[0]) + Number(target.data[1]) * (data[row] as number);
  if (network.loss === 'binary-cross-entropy') return 1 / (1 + Math.exp(-(data[row] as number)));
  const [negative, positive] = data.subarray(2 * row, 2 * row + 2) as unknown as [number, number];
  return 1 / (1 + Math.exp(negative - positive));
}

/** The area for the positive class, of two; with the labels at the sites from scores in 1000 bins, without sites that have too few of a class. */
function areaUnderCurve({ choices, minCount }: Plan, scored: readonly Scored[]): number | null {
  let told = scored;
  if (choices.labels === 'site') {
    const count = (site: number, label: number) =>
      scored.filter((one) => one.site === site && one.label === label).length;
    told = scored
      .filter(({ site }) => count(site, 0) >= minCount && count(site, 1) >= minCount)
      .map((one) => ({ ...one, score: Math.min(999, Math.floor(1000 * one.score)) }));
  }
  const [negatives, positives] = [0, 1].map((label) => told.filter((one) => one.label === label)) as [
    Scored[],
    Scored[],
  ];
  let pairs = 0;
  for (const positive of positives)
    for (const negative of negatives)
      pairs += positive.score > negative.score ? 1 : positive.score === negative.score ? 0.5 : 0;
  const all = positives.length * negatives.length;
  return all === 0 ? null : pairs / all;
}
