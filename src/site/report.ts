// The figures that a site with the labels computes of one part and sends instead of labels.

import type { Records } from '../data/index.ts';
import {
  classHistograms,
  type ClassificationMetrics,
  classificationOf,
  type OutputMeaning,
  predictionsOf,
  regressionInput,
  siteRegression,
} from '../metrics/index.ts';
import {
  emptyStatistics,
  encodeStatistics,
  HISTOGRAM_BINS,
  type Plan,
  REPORT_STATISTICS,
  type ReportStatistics,
} from '../protocol/index.ts';
import { elementCount, type Tensor, tensor, zeros } from '../tensor/index.ts';

/** Training losses since the last report. */
export interface TrainLoss {
  /** Sum over records of the weighted loss. */
  readonly sum: number;
  readonly records: number;
}

/** Collects the network's outputs on one part and turns them into a report. */
export class ReportBuilder {
  readonly #plan: Plan;
  readonly #meaning: OutputMeaning;
  readonly #records: Records;
  readonly #classWeights: readonly number[];
  readonly #outputs: Float32Array;

  constructor(plan: Plan, meaning: OutputMeaning, records: Records, classWeights: readonly number[]) {
    this.#plan = plan;
    this.#meaning = meaning;
    this.#records = records;
    this.#classWeights = classWeights;
    this.#outputs = new Float32Array(records.count * elementCount(plan.network.outputDims));
  }

  /** Takes the outputs `[rows, …]` of records from row `from` on. */
  add(outputs: Tensor, from: number): void {
    this.#outputs.set(outputs.data as Float32Array, from * elementCount(this.#plan.network.outputDims));
  }

  /** The report's tensors by name. */
  tensors(train: TrainLoss): Record<string, Tensor> {
    const statistics = {
      ...emptyStatistics(),
      reported: 0,
      trainLossSum: train.records >= this.#plan.minCount ? train.sum : null,
      trainRecords: train.records >= this.#plan.minCount ? train.records : null,
    };
    return this.#meaning.kind === 'classification'
      ? this.#classes(this.#meaning, statistics)
      : this.#values(this.#meaning, statistics);
  }

  #classes(meaning: OutputMeaning & { kind: 'classification' }, statistics: ReportStatistics): Record<string, Tensor> {
    const { classCount, positive } = meaning;
    const confusion = zeros('int32', [classCount, classCount]);
    const histograms = zeros('int32', [classCount === 2 ? 1 : classCount, 2, HISTOGRAM_BINS]);
    const labels = this.#records.labels;
    const counts = new Array<number>(classCount).fill(0);
    for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
    if (Math.min(...counts) < this.#plan.minCount) return { statistics: asTensor(statistics), confusion, histograms };
    const metrics: ClassificationMetrics = classificationOf(meaning, {
      outputs: this.#outputs,
      labels,
      groups: this.#records.groups,
      classWeights: this.#classWeights,
    });
    confusion.data.set(metrics.confusion.flat());
    classHistograms(predictionsOf(meaning, this.#outputs), labels, classCount, positive).forEach((histogram, index) => {
      histograms.data.set(histogram.positive, 2 * index * HISTOGRAM_BINS);
      histograms.data.set(histogram.negative, (2 * index + 1) * HISTOGRAM_BINS);
    });
    const { confusion: _confusion, aucInterval: _aucInterval, ...figures } = metrics;
    return { statistics: asTensor({ ...statistics, ...figures, reported: 1 }), confusion, histograms };
  }

  #values(meaning: OutputMeaning & { kind: 'regression' }, statistics: ReportStatistics): Record<string, Tensor> {
    if (this.#records.count < this.#plan.minCount) return { statistics: asTensor(statistics) };
    const site = siteRegression(regressionInput(meaning, { outputs: this.#outputs, labels: this.#records.labels }));
    const { targetMean, targetSquares } = site;
    return { statistics: asTensor({ ...statistics, ...site.metrics, targetMean, targetSquares, reported: 1 }) };
  }
}

function asTensor(statistics: ReportStatistics): Tensor {
  return tensor('float64', [REPORT_STATISTICS], encodeStatistics(statistics));
}
