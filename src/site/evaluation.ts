// What a site sends of its records in inference form: the rows of a part for the trunk, the report where the labels stay here, and the
// chunks of a `detached` upload.

import { assert, sha256Hex } from '../base/index.ts';
import type { Augmenting, OpenedData } from '../data/index.ts';
import { type Exchange, outputMeaning, partNames, type Plan, type PooledFacts, siteScript } from '../protocol/index.ts';
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

/** What a chunk of an upload carries. */
interface Chunk {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly digest: string;
}

export class SiteEvaluation {
  readonly #options: SiteEvaluationOptions;
  /** `detached`: the upload's chunks in order, and the one that is made while the one before it travels. */
  readonly #uploads: Iterator<Exchange>;
  #ahead: { readonly chunk: number; readonly made: Promise<Chunk> } | undefined;
  /** Of the part that is under way, with the labels at the site. */
  #report: ReportBuilder | undefined;

  constructor(options: SiteEvaluationOptions) {
    this.#options = options;
    const { plan, index, pooled } = options;
    this.#uploads = siteScript(plan, index, pooled);
  }

  /** Sends activations of a part's records: for validation, for the test, or as a chunk of an upload. */
  async sendRows(line: Exchange): Promise<void> {
    const { plan, link, onUploaded } = this.#options;
    if (plan.choices.labels === 'site') this.#report ??= this.#reportOn(line.part);
    if (!line.digest) return link.send('activations', { tensors: await this.#rows(line) });
    const ahead = this.#ahead;
    const chunk = await (ahead?.chunk === line.chunk ? ahead.made : this.#chunk(line));
    this.#makeAhead(line);
    await link.send('activations', chunk);
    onUploaded(line.chunk, line.records?.count ?? 0);
  }

  /** Begins to make the chunk after this one: the network is not to wait for it. */
  #makeAhead({ chunk }: Exchange): void {
    let step = this.#uploads.next();
    while (step.done !== true && !(step.value.digest && step.value.chunk > chunk)) step = this.#uploads.next();
    this.#ahead = step.done === true ? undefined : { chunk: step.value.chunk, made: this.#chunk(step.value) };
    this.#ahead?.made.catch(() => undefined); // Whoever sends the chunk sees the error.
  }

  async #chunk(line: Exchange): Promise<Chunk> {
    const tensors = await this.#rows(line);
    return { tensors, digest: sha256Hex(...line.tensors.map((spec) => bytesOf(tensors[spec.name] as Tensor))) };
  }

  /** Activations, labels and groups of the records that a line is about. */
  async #rows(line: Exchange): Promise<Record<string, Tensor>> {
    const { segment, batches, data } = this.#options;
    const records = data.parts[partNames[line.part] ?? 'train'];
    const range = line.records;
    assert(range, 'activations are about records');
    const rows = Int32Array.from({ length: range.count }, (_, row) => range.from + row);
    const pass = line.digest ? line.epoch : 0;
    const x = await (pass > 0 ? records.load(rows, this.#augmenting(pass, range.from)) : records.load(rows));
    const cut = await segment.evaluate(x);
    const groups = Int32Array.from(rows, (row) => records.groups[row] ?? 0);
    return { cut, labels: batches.labels(records, rows), groups: tensor('int32', [rows.length], groups) };
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
