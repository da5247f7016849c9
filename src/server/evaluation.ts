// Figures of a part after an epoch and at the end: overall and of each site. They are computed where the labels are: here from the
// activations, or at the sites, whose reports are put together.

import {
  type ClassificationMetrics,
  isBetter,
  type Metrics,
  metricsOf,
  type OutputMeaning,
  pooledClassificationMetrics,
  pooledRegressionMetrics,
  type RegressionMetrics,
} from '../metrics/index.ts';
import {
  CHUNKS_UNACKNOWLEDGED,
  evaluationRows,
  HISTOGRAM_BINS,
  outputMeaning,
  type PartName,
  partNames,
  readReport,
  type Report,
  type ReportStatistics,
  type SiteCounts,
} from '../protocol/index.ts';
import type { ActivationStore } from '../store/index.ts';
import { elementCount, type Tensor } from '../tensor/index.ts';
import { Pool } from './detached.ts';
import type { Training } from './training.ts';

/** The figures of one part. */
export interface PartMetrics {
  readonly overall: Metrics;
  /** By site, of those that took part; null for a site that reports nothing because it has too few records of a class. */
  readonly sites: Readonly<Record<string, Metrics | null>>;
  /** With the labels at the sites: the mean weighted training loss that they reported; else null. */
  readonly trainLoss: number | null;
}

/** Whether `candidate` is to be selected over `best` (SEMANTICS.md, "Evaluation and selection"). */
export function selects(candidate: PartMetrics | null, best: PartMetrics | null): boolean {
  if (!candidate) return false;
  return isBetter(candidate.overall, best?.overall);
}

/** Outputs of the network with their labels. */
interface Outputs {
  readonly values: Float32Array;
  readonly labels: Float64Array;
  readonly groups: Int32Array;
}

export class Evaluator {
  readonly #training: Training;
  readonly #counts: readonly SiteCounts[];
  readonly #scope: string;
  readonly #store: ActivationStore | undefined;
  readonly #meaning: OutputMeaning;
  readonly #width: number;

  constructor(training: Training, counts: readonly SiteCounts[], scope: string, store: ActivationStore | undefined) {
    const { plan, target } = training.options;
    this.#training = training;
    this.#counts = counts;
    this.#scope = scope;
    this.#store = store;
    this.#meaning = outputMeaning(plan, { mean: Number(target.data[0]), sd: Number(target.data[1]) });
    this.#width = elementCount(plan.network.outputDims);
  }

  /** The figures of a part; null when no site has a record of it. */
  async part(part: PartName): Promise<PartMetrics | null> {
    const { plan, schedule } = this.#training.options;
    if (plan.choices.labels === 'site') return this.#fromReports(part);
    const store = this.#store;
    const sites = await Promise.all(
      schedule.members.map((site) => (store ? this.#fromStore(store, site, part) : this.#fromSite(site, part))),
    );
    return this.#together(sites);
  }

  /** Runs the trunk on what a site sends. */
  async #fromSite(site: number, part: PartName): Promise<Outputs> {
    const { plan, trunk } = this.#training.options;
    const link = this.#training.link(site);
    const outputs = this.#room(this.#counts[site]?.[part] ?? 0);
    const rows = evaluationRows(plan);
    for (let from = 0, chunk = 0; from < outputs.labels.length; from += rows, chunk++) {
      const { message } = await link.receive('activations');
      const [cut, labels, groups] = message.tensors.map((named) => named.tensor) as [Tensor, Tensor, Tensor];
      if (chunk % CHUNKS_UNACKNOWLEDGED === CHUNKS_UNACKNOWLEDGED - 1) await link.send('acknowledge');
      const y = await trunk.evaluate(this.#scope, cut);
      outputs.values.set(y.data as Float32Array, from * this.#width);
      outputs.labels.set(labels.data as Float32Array, from);
      outputs.groups.set(groups.data as Int32Array, from);
    }
    return outputs;
  }

  /** `detached`: the same from the store. */
  async #fromStore(store: ActivationStore, site: number, part: PartName): Promise<Outputs> {
    const { plan, trunk } = this.#training.options;
    const key = { site: plan.sites[site] ?? '', part, pass: 0 };
    const pool = new Pool(store, [key]);
    const outputs = this.#room(pool.size);
    const rows = evaluationRows(plan);
    for (let from = 0; from < pool.size; from += rows) {
      const count = Math.min(rows, pool.size - from);
      const { cut, labels } = await pool.take(Int32Array.from({ length: count }, (_, row) => from + row));
      const y = await trunk.evaluate(this.#scope, cut);
      outputs.values.set(y.data as Float32Array, from * this.#width);
      outputs.labels.set(labels, from);
    }
    outputs.groups.set(store.section(key).groups);
    return outputs;
  }

  #room(records: number): Outputs {
    return {
      values: new Float32Array(records * this.#width),
      labels: new Float64Array(records),
      groups: new Int32Array(records),
    };
  }

  #together(sites: readonly Outputs[]): PartMetrics | null {
    const { classWeights } = this.#training.options;
    const records = sites.reduce((sum, { labels }) => sum + labels.length, 0);
    if (records === 0) return null;
    const all = this.#room(records);
    let from = 0;
    let firstGroup = 0;
    for (const { values, labels, groups } of sites) {
      all.values.set(values, from * this.#width);
      all.labels.set(labels, from);
      // A site numbers its groups from 0; over all sites they must stay apart.
      let most = -1;
      for (const [row, group] of groups.entries()) {
        all.groups[from + row] = firstGroup + group;
        most = Math.max(most, group);
      }
      firstGroup += most + 1;
      from += labels.length;
    }
    const figures = ({ values, labels, groups }: Outputs): Metrics =>
      metricsOf(this.#meaning, { outputs: values, labels, groups, classWeights });
    return {
      overall: figures(all),
      sites: this.#bySite((index) => figures(sites[index] as Outputs)),
      trainLoss: null,
    };
  }

  /** With the labels at the sites: the trunk's outputs go down, each site's report comes up. */
  async #fromReports(part: PartName): Promise<PartMetrics | null> {
    const { plan, schedule, trunk } = this.#training.options;
    const { members } = schedule;
    const rows = evaluationRows(plan);
    const reports = await Promise.all(
      members.map(async (site) => {
        const link = this.#training.link(site);
        const records = this.#counts[site]?.[part] ?? 0;
        for (let from = 0; from < records; from += rows) {
          const { message } = await link.receive('activations');
          await link.send('trunk-output', {
            tensors: { output: await trunk.evaluate(this.#scope, message.tensors[0]?.tensor as Tensor) },
          });
        }
        const { message } = await link.receive('report');
        return this.#figuresOf(readReport(message, records, this.#counts[site]?.train ?? 0));
      }),
    );
    if (members.every((site) => this.#counts[site]?.[part] === 0)) return null;
    const told = reports.filter((report) => report.metrics !== null);
    const trainRecords = reports.reduce((sum, { statistics }) => sum + (statistics.trainRecords ?? 0), 0);
    const trainLoss = reports.reduce((sum, { statistics }) => sum + (statistics.trainLossSum ?? 0), 0);
    const meaning = this.#meaning;
    const overall: Metrics =
      meaning.kind === 'classification'
        ? pooledClassificationMetrics(
            told.map(({ metrics, histograms }) => ({ metrics: metrics as ClassificationMetrics, histograms })),
            meaning.positive,
          )
        : pooledRegressionMetrics(
            told.map(({ metrics, statistics }) => ({
              metrics: metrics as RegressionMetrics,
              targetMean: statistics.targetMean ?? 0,
              targetSquares: statistics.targetSquares ?? 0,
            })),
          );
    return {
      overall,
      sites: this.#bySite((index) => reports[index]?.metrics ?? null),
      trainLoss: trainRecords > 0 && part === partNames[1] ? trainLoss / trainRecords : null,
    };
  }

  /** By name, of the sites that take part; `of` is given each one's place among them. */
  #bySite<T>(of: (index: number) => T): Readonly<Record<string, T>> {
    const { plan, schedule } = this.#training.options;
    return Object.fromEntries(schedule.members.map((site, index) => [plan.sites[site] ?? '', of(index)]));
  }

  #figuresOf({ statistics, confusion, histograms }: Report) {
    const metrics = statistics.reported === 1 ? this.#metricsFrom(statistics, confusion) : null;
    const bins = HISTOGRAM_BINS;
    const count = (histograms?.length ?? 0) / (2 * bins);
    const side = (index: number) => Float64Array.from(histograms?.subarray(index * bins, (index + 1) * bins) ?? []);
    return {
      statistics,
      metrics,
      histograms: Array.from({ length: count }, (_, index) => ({
        positive: side(2 * index),
        negative: side(2 * index + 1),
      })),
    };
  }

  #metricsFrom(statistics: ReportStatistics, confusion: Int32Array | undefined): Metrics {
    const {
      n,
      nGroups,
      loss,
      auc,
      aucLow,
      aucHigh,
      accuracy,
      sensitivity,
      specificity,
      f1,
      brier,
      ece,
      rmse,
      mae,
      r2,
      rmsle,
      nNegative,
    } = statistics;
    if (this.#meaning.kind === 'regression')
      return { n: n ?? 0, loss, rmse, mae, r2, rmsle, nNegative: nNegative ?? 0 };
    const { classCount } = this.#meaning;
    return {
      n: n ?? 0,
      nGroups,
      loss,
      auc,
      aucLow,
      aucHigh,
      aucInterval: aucLow === null ? null : (nGroups ?? 0) < (n ?? 0) ? 'clustered' : 'independent',
      accuracy,
      sensitivity,
      specificity,
      f1,
      brier,
      ece,
      confusion: Array.from({ length: classCount }, (_, row) =>
        Array.from(confusion?.subarray(row * classCount, (row + 1) * classCount) ?? []),
      ),
    };
  }
}
