// Where a network can be cut: at a value that everything passes through. Cutting there, one tensor goes up and its gradient comes down.

import type { Graph } from '../onnx/index.ts';

/** A value at which the network falls into two, with the parameters that lie on either side. */
export interface Separator {
  readonly value: string;
  /** The parameters that `value` is computed from. */
  readonly before: readonly string[];
  /** The parameters that the output is computed from, given `value`. */
  readonly after: readonly string[];
}

/**
 * The values, in order, that separate `input` from `output`: computed from `input`, and every way from there to `output` leads through
 * them. Neither end is among them, nor a value with one parameter on both its sides.
 */
export function separators(graph: Graph, input: string, output: string, parameters: ReadonlySet<string>): Separator[] {
  const moving = reachedFrom(graph, input);
  const wanted = leadingTo(graph, output);
  const relevant = graph.nodes.filter((node) => node.outputs.some((value) => wanted.has(value)));
  const lastReader = new Map<string, number>();
  relevant.forEach((node, index) => node.inputs.forEach((value) => lastReader.set(value, index)));

  // In whichever topological order, a separator's ancestors stand before it and everything else after it, so after its own node
  // it is the only value that moves with the input and is still to be read.
  const found: Separator[] = [];
  const live = new Set([input]);
  relevant.forEach((node, index) => {
    for (const value of node.outputs) if (moving.has(value) && lastReader.has(value)) live.add(value);
    for (const value of live) if ((lastReader.get(value) ?? -1) <= index) live.delete(value);
    const [value] = live;
    if (live.size !== 1 || value === undefined || value === input || value === output) return;
    if (found.at(-1)?.value === value) return;
    const before = parametersOf(graph, value, parameters);
    const after = parametersOf(graph, output, parameters, value);
    if (!before.some((name) => after.includes(name))) found.push({ value, before, after });
  });
  return found;
}

/** Every value that is computed from `input`, itself included. */
function reachedFrom(graph: Graph, input: string): Set<string> {
  const reached = new Set([input]);
  for (const node of graph.nodes) {
    if (!node.inputs.some((value) => reached.has(value))) continue;
    for (const value of node.outputs) if (value !== '') reached.add(value);
  }
  return reached;
}

/** Every value that `output` is computed from, itself included; nothing before `stop`. */
function leadingTo(graph: Graph, output: string, stop?: string): Set<string> {
  const needed = new Set([output]);
  for (const node of graph.nodes.toReversed()) {
    if (node.outputs.some((value) => value !== stop && needed.has(value))) {
      for (const value of node.inputs) needed.add(value);
    }
  }
  return needed;
}

function parametersOf(graph: Graph, value: string, parameters: ReadonlySet<string>, stop?: string): string[] {
  const needed = leadingTo(graph, value, stop);
  return [...parameters].filter((name) => needed.has(name));
}
