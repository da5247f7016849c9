// A model in an engine: from a part's records to the network's outputs and predictions.

import type { Records } from '../data/index.ts';
import type { Engine, LoadedGraph } from '../engine/index.ts';
import { predictionsOf } from '../metrics/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { meaningOf, type ModelDescription } from './model-description.ts';
import type { Model } from './model-folder.ts';

const rowsAtOnce = 64;

interface LoadedPart {
  readonly graph: LoadedGraph;
  readonly input: string;
  readonly output: string;
}

/** A model whose graphs are loaded. The engine stays the caller's. */
export class RunningModel {
  readonly description: ModelDescription;
  readonly #engine: Engine;
  readonly #chain: readonly LoadedPart[];

  private constructor(description: ModelDescription, engine: Engine, chain: readonly LoadedPart[]) {
    this.description = description;
    this.#engine = engine;
    this.#chain = chain;
  }

  /** Loads segment, trunk and head. Throws EngineError. */
  static async load(model: Model, engine: Engine): Promise<RunningModel> {
    const chain: LoadedPart[] = [];
    for (const graph of [model.segment, model.trunk, ...(model.head ? [model.head] : [])]) {
      const [input, output] = [graph.inputs[0]?.name ?? 'x', graph.outputs[0]?.name ?? 'y'];
      chain.push({ graph: await engine.load(graph), input, output });
    }
    return new RunningModel(model.description, engine, chain);
  }

  /** What the first part, which sits at the site, sends: activations `[rows, ...cutDims]` of standardised inputs. */
  async activations(x: Tensor): Promise<Tensor> {
    return this.#run(x, 1);
  }

  /** The network's outputs of all records, float32 `[count, outputs]` row-major: logits or z. Throws DataError when a record cannot be loaded. */
  async outputs(records: Records): Promise<Float32Array> {
    const pieces: Float32Array[] = [];
    for (let from = 0; from < records.count; from += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, records.count - from);
      const x = await records.load(Int32Array.from({ length: count }, (_, row) => from + row));
      pieces.push((await this.#run(x, this.#chain.length)).data as Float32Array);
    }
    const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  async close(): Promise<void> {
    for (const { graph } of this.#chain) await this.#engine.unload(graph);
  }

  async #run(x: Tensor, parts: number): Promise<Tensor> {
    let value = x;
    for (const { graph, input, output } of this.#chain.slice(0, parts)) {
      const results = await this.#engine.run({ graph, feeds: { [input]: value }, fetch: [output] });
      value = results[output] as Tensor;
    }
    return value;
  }
}

/** Probabilities `[count, classes]` row-major, or values `[count]` in the target's unit, of all records in order. */
export async function predictWith(model: RunningModel, records: Records): Promise<Float64Array> {
  return predictionsOf(meaningOf(model.description), await model.outputs(records));
}
