// What a linear model makes of the raw inputs of all sites' records together. In a real study nobody could pool them; on one machine,
// with synthetic records, it shows what the network adds.

import { deal, type Listing, type OpenedData, type Part } from '../../data/index.ts';
import { openSiteData } from '../../data/node/index.ts';
import {
  fitLinear,
  fitLogistic,
  type LinearInput,
  type Metrics,
  metricsOf,
  predictLinear,
} from '../../metrics/index.ts';
import { meanAndSd, outputMeaning, type Plan } from '../../protocol/index.ts';
import { elementCount } from '../../tensor/index.ts';
import type { Baseline } from '../report/index.ts';
import type { Study } from '../study-file.ts';

/** Penalties that are tried for classes; the validation part chooses. */
const penalties = [1, 100, 10_000];

/** Figures of linear (or, for two classes, logistic) regression on the test part; none for more classes. */
export async function linearBaseline(
  study: Study,
  plan: Plan,
  listing: Listing,
  dataPath: string,
): Promise<Baseline[]> {
  if (plan.task.kind === 'classification' && plan.task.classes.length !== 2) return [];
  const [manifest] = deal(listing, [1]);
  if (!manifest) return [];
  const data = await openSiteData(study.data, dataPath, manifest);
  try {
    const { inputs, target } = data.pooling.sums();
    const moments = inputs.counts.map((count, column) =>
      meanAndSd(count, inputs.sums[column] ?? 0, inputs.squares[column] ?? 0),
    );
    data.pooling.setStandardisation({ mean: moments.map(({ mean }) => mean), sd: moments.map(({ sd }) => sd) });
    const { mean, sd } = meanAndSd(target.counts[0] ?? 0, target.sums[0] ?? 0, target.squares[0] ?? 0);
    return plan.task.kind === 'regression'
      ? [{ name: 'linear regression', splits: { test: await regression(data, plan, { mean, sd }) } }]
      : [{ name: 'logistic regression', splits: { test: await classification(data, plan) } }];
  } finally {
    await data.close();
  }
}

async function regression(data: OpenedData, plan: Plan, target: { mean: number; sd: number }): Promise<Metrics> {
  const model = fitLinear({ ...(await pooled(data, 'train', plan)), l2: 0 });
  const { x, y } = await pooled(data, 'test', plan);
  const outputs = predictLinear(model, x).map((value) => (value - target.mean) / target.sd);
  const meaning = outputMeaning({ task: plan.task, network: { loss: 'mse' } }, target);
  return metricsOf(meaning, { outputs, labels: y, groups: data.parts.test.groups });
}

async function classification(data: OpenedData, plan: Plan): Promise<Metrics> {
  const meaning = outputMeaning({ task: plan.task, network: { loss: 'binary-cross-entropy' } }, { mean: 0, sd: 1 });
  const positive = meaning.kind === 'classification' ? meaning.positive : 1;
  const train = await pooled(data, 'train', plan);
  const val = await pooled(data, 'val', plan);
  const test = await pooled(data, 'test', plan);
  const figures = ({ x, y }: Pooled, part: Part, model: ReturnType<typeof fitLogistic>): Metrics =>
    metricsOf(meaning, { outputs: predictLinear(model, x), labels: y, groups: data.parts[part].groups });
  const y = Float64Array.from(train.y, (label) => (label === positive ? 1 : 0));
  let best: { model: ReturnType<typeof fitLogistic>; loss: number } | undefined;
  for (const l2 of penalties) {
    const model = fitLogistic({ ...train, y, l2 });
    const loss = figures(val, 'val', model).loss ?? Number.POSITIVE_INFINITY;
    if (!best || loss < best.loss) best = { model, loss };
  }
  if (!best) throw new TypeError('a penalty is tried');
  return figures(test, 'test', best.model);
}

type Pooled = Pick<LinearInput, 'columns'> & { readonly x: Float32Array; readonly y: Float64Array };

async function pooled(data: OpenedData, part: Part, plan: Plan): Promise<Pooled> {
  const records = data.parts[part];
  const rows = Int32Array.from({ length: records.count }, (_, row) => row);
  const { data: x } = await records.load(rows);
  return { x, columns: elementCount(plan.network.inputDims), y: records.labels };
}
