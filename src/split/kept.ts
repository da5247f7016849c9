// What backward needs from forward: kept, or computed again. Keeping a value costs a copy out of the runtime and one back in
// (FAST.md, trap 5); computing it again costs its operators. So the outputs of operators that do much arithmetic for each element are
// kept, and everything cheaper is computed again from them.

import { type Graph, inferTypes, type Node } from '../onnx/index.ts';

/** Operations for one output element from which a value is worth its two copies: 4 bytes twice at a few GB/s are about what a core computes in the time. */
const operationsWorthKeeping = 128;

/**
 * The values of `graph` to keep between the run that computes `forward` and the one that computes `backward`, where nodes that
 * `forward` does not need belong to the second run.
 */
export function keptValues(graph: Graph, forward: readonly string[], backward: readonly string[]): readonly string[] {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const types = inferTypes(graph);
  const forwardNodes = closure(producers, forward, () => false);
  const kept = new Set<string>();
  closure(producers, backward, (value, node) => {
    if (!forwardNodes.has(node) || operationsOf(node, types) < operationsWorthKeeping) return false;
    kept.add(value);
    return true;
  });
  return [...kept];
}

/** The nodes that `values` need; the walk does not go past a value at which `stop` says so. */
function closure(
  producers: ReadonlyMap<string, Node>,
  values: readonly string[],
  stop: (value: string, node: Node) => boolean,
): Set<Node> {
  const found = new Set<Node>();
  const open = [...values];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = producers.get(value);
    if (!node || found.has(node) || stop(value, node)) continue;
    found.add(node);
    open.push(...node.inputs);
  }
  return found;
}

/** Multiplications and additions for one element of the node's first output; 0 for what only moves or maps elements. */
function operationsOf(node: Node, types: ReturnType<typeof inferTypes>): number {
  const dims = (input: number) =>
    (types.get(node.inputs[input] ?? '')?.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : 1));
  switch (node.op) {
    case 'Conv':
      return (
        2 *
        dims(1)
          .slice(1)
          .reduce((product, dim) => product * dim, 1)
      );
    case 'ConvTranspose':
      return (
        2 *
        (dims(1)[0] ?? 1) *
        dims(1)
          .slice(2)
          .reduce((product, dim) => product * dim, 1)
      );
    case 'Gemm':
      return 2 * ((node.attributes['transA']?.value === 1 ? dims(0)[0] : dims(0)[1]) ?? 1);
    case 'MatMul':
      return 2 * (dims(0).at(-1) ?? 1);
    default:
      return 0;
  }
}
