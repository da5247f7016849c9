// Cuts a network into site segment, server trunk and (with the labels at the sites) head, each in its training and its inference form.
// The whole network is turned into its training form first, so that a dropout layer has the same number cut or uncut.

import { inferenceGraph, trainingGraph } from '../autodiff/index.ts';
import { EngineError } from '../base/index.ts';
import type { Network, ParameterSpec } from '../models/index.ts';
import { extract, type Graph } from '../onnx/index.ts';
import type { MaskSpec } from './masks.ts';

/** One part of a network as graphs from its input value to its output value. */
export interface Piece {
  readonly part: string;
  readonly input: string;
  readonly output: string;
  readonly training: Graph;
  readonly inference: Graph;
  readonly parameters: readonly ParameterSpec[];
  readonly statistics: readonly ParameterSpec[];
  readonly masks: readonly MaskSpec[];
  /** Running statistics' graph outputs in the training form: their input → their next value. */
  readonly nextStatistics: ReadonlyMap<string, string>;
}

/** Cuts `network` at the given values, in order; `parts` has one name more. Throws EngineError `bad-graph` when a value does not separate. */
export function cutNetwork(network: Network, parts: readonly string[], cuts: readonly string[]): readonly Piece[] {
  const whole = trainingGraph(network.graph);
  const inference = inferenceGraph(network.graph);
  const graphInputs = new Set(whole.graph.inputs.map((value) => value.name));
  const used = new Set<string>();
  return parts.map((part, index) => {
    const input = index === 0 ? 'x' : (cuts[index - 1] as string);
    const output = index === parts.length - 1 ? 'y' : (cuts[index] as string);
    const next = new Map(whole.statistics.map((entry) => [entry.input, entry.output]));
    const inputs = [...new Set([input, ...graphInputs])];
    const inferencePiece = extractNeeded(inference, {
      inputs: inputs.filter((name) => !name.startsWith('mask:')),
      outputs: [output],
    });
    const reads = new Set(inferencePiece.inputs.map((value) => value.name));
    if (index > 0 && reads.has('x')) {
      throw new EngineError(
        'bad-graph',
        `${network.name} cannot be cut at "${input}": what comes after it also reads a value from before it`,
      );
    }
    const parameters = network.parameters.filter(({ name }) => reads.has(name));
    for (const { name } of parameters) {
      if (used.has(name))
        throw new EngineError(
          'bad-graph',
          `${network.name} cannot be cut at "${input}": parameter ${name} is used on both sides`,
        );
      used.add(name);
    }
    const statistics = network.statistics.filter(({ name }) => reads.has(name));
    const nextStatistics = new Map(
      statistics.flatMap(({ name }) => (next.has(name) ? [[name, next.get(name) as string] as const] : [])),
    );
    const training = extractNeeded(whole.graph, {
      inputs,
      outputs: [output, ...nextStatistics.values()],
    });
    const present = new Set(training.inputs.map((value) => value.name));
    return {
      part,
      input,
      output,
      training,
      inference: inferencePiece,
      parameters,
      statistics,
      nextStatistics,
      masks: whole.masks.filter(({ name }) => present.has(name)),
    };
  });
}

/** The part of a graph that computes `outputs`, declaring those of `inputs` that it reads. */
export function extractNeeded(
  graph: Graph,
  part: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): Graph {
  const extracted = extract(graph, part);
  const read = new Set(extracted.nodes.flatMap((node) => node.inputs));
  return { ...extracted, inputs: extracted.inputs.filter(({ name }) => read.has(name)) };
}
