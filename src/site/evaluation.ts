// What a site sends of its records in inference form: the rows of a part for the trunk, the report where the labels stay here, and the
// chunks of a `detached` upload.

import { assert, sha256Hex } from '../base/index.ts';
import type { Augmenting, OpenedData } from '../data/index.ts';
import { type Exchange, outputMeaning, partNames, type Plan, type PooledFacts } from '../protocol/index.ts';
import { bytesOf, type Tensor, tensor } from '../tensor/index.ts';
import type { BatchSource } from './batch-source.ts';
import type { SiteLink } from './link.ts';
import { ReportBuilder } from './report.ts';
import type { SegmentRunner } from './segment-runner.ts';

export interface SiteEvaluationOptions {
  readonly plan: Plan;
  readonly index: number;
  readonly data: OpenedData;
  readonly link: SiteLink;
  readonly segment: SegmentRunner;
  readonly batches: BatchSource;
  readonly pooled: PooledFacts;
  readonly onUploaded: (chunk: number, records: number) => void;
}

export class SiteEvaluation {
  readonly #options: SiteEvaluationOptions;
  /** Of the part that is under way, with the labels at the site. */
  #report: ReportBuilder | undefined;

  constructor(options: SiteEvaluationOptions) {
    this.#options = options;
  }

  /** Sends activations of a part's records: for validation, for the test, or as a chunk of an upload. */
  async sendRows(line: Exchange): Promise<void> {
    const { plan, link, segment, batches, data, onUploaded } = this.#options;
    const records = data.parts[partNames[line.part] ?? 'train'];
    const range = line.records;
    assert(range, 'activations are about records');
    const rows = Int32Array.from({ length: range.count }, (_, row) => range.from + row);
    const pass = line.digest ? line.epoch : 0;
    const x = await (pass > 0 ? records.load(rows, this.#augmenting(pass, range.from)) : records.load(rows));
    const cut = await segment.evaluate(x);
    const groups = Int32Array.from(rows, (row) => records.groups[row] ?? 0);
    const tensors: Record<string, Tensor> = {
      cut,
      labels: batches.labels(records, rows),
      groups: tensor('int32', [rows.length], groups),
    };
    if (plan.choices.labels === 'site') this.#report ??= this.#reportOn(line.part);
    if (!line.digest) return link.send('activations', { tensors });
    const values = line.tensors.map((spec) => tensors[spec.name] as Tensor);
    await link.send('activations', { tensors, digest: sha256Hex(...values.map(bytesOf)) });
    onUploaded(line.chunk, rows.length);
  }

  /** With the head at the site: the trunk's output came back, and becomes predictions. */
  async trunkOutput(): Promise<void> {
    const { message, line } = await this.#options.link.receive('trunk-output');
    const y = await this.#options.segment.evaluateHead(message.tensors[0]?.tensor as Tensor);
    this.#report?.add(y, line.records?.from ?? 0);
  }

  /** Sends the report of a part, with the training loss since the last one. */
  async sendReport(line: Exchange, trainLoss: { readonly sum: number; readonly records: number }): Promise<void> {
    const report = this.#report ?? this.#reportOn(line.part);
    this.#report = undefined;
    await this.#options.link.send('report', { tensors: report.tensors(trainLoss) });
  }

  #reportOn(part: number): ReportBuilder {
    const { plan, pooled, data } = this.#options;
    const records = data.parts[partNames[part] ?? 'val'];
    return new ReportBuilder(plan, outputMeaning(plan, pooled.target), records, pooled.classWeights);
  }

  #augmenting(pass: number, firstRow: number): Augmenting {
    const { plan, index } = this.#options;
    return { studySeed: plan.seed, siteIndex: index, epoch: 0, batchIndex: pass, firstRow };
  }
}
