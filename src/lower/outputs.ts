// Outputs that are copies. `output(value, name)` of a builder puts an Identity before an output of another name. Where the value is read
// elsewhere too, ONNX Runtime keeps both: each new momentum, say, twice, until the step's last node has run.

import { type Graph, rename } from '../onnx/index.ts';

/** The graph with such copies' sources under the outputs' own names, and the copies left out. */
export function withoutCopiedOutputs(graph: Graph): Graph {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const names = new Map<string, string>();
  const nodes = graph.nodes.filter(({ op, domain, inputs: [source = ''], outputs: [copy = ''] }) => {
    if (op !== 'Identity' || domain !== '' || !outputs.has(copy)) return true;
    if (!made.has(source) || outputs.has(source) || names.has(source)) return true;
    names.set(source, copy);
    return false;
  });
  if (names.size === 0) return graph;
  const copies = new Set(names.values());
  // A hint for a copy would name a value that its source has a hint for.
  const hints = graph.hints?.filter(({ output }) => !copies.has(output));
  // The copy's name is free once its Identity is gone; who read the copy reads the source by it.
  return rename({ ...graph, nodes, ...(hints && { hints }) }, names);
}
