// What every graph must keep before anything else is asked of it: names, order and declared operator sets.

import type { Graph } from './graph.ts';

/**
 * Checks that every value has exactly one producer, is produced before it is read, that node names differ, that every node's
 * domain is among the graph's operator sets, and that every output exists. `problem` makes the error that is thrown.
 */
export function checkStructure(graph: Graph, problem: (message: string) => Error): void {
  const known = new Set<string>();
  const declare = (name: string, what: string): void => {
    if (name === '') throw problem(`${what} has no name`);
    if (known.has(name)) throw problem(`${what} is called "${name}", which is taken`);
    known.add(name);
  };
  for (const input of graph.inputs) declare(input.name, 'an input');
  for (const name of graph.initializers.keys()) declare(name, 'an initializer');
  const nodeNames = new Set<string>();
  for (const node of graph.nodes) {
    if (node.op === '') throw problem(`node ${node.name} names no operator`);
    if (nodeNames.has(node.name)) throw problem(`two nodes are called "${node.name}"`);
    nodeNames.add(node.name);
    if (!Object.hasOwn(graph.opsets, node.domain))
      throw problem(
        `node ${node.name} (${node.op}) is of the domain "${node.domain}", whose operator set is not declared`,
      );
    for (const input of node.inputs)
      if (input !== '' && !known.has(input))
        throw problem(`node ${node.name} (${node.op}) reads "${input}" before anything produces it`);
    if (!node.outputs.some((output) => output !== '')) throw problem(`node ${node.name} (${node.op}) has no output`);
    for (const output of node.outputs)
      if (output !== '') declare(output, `an output of node ${node.name} (${node.op})`);
  }
  const outputs = new Set<string>();
  for (const { name } of graph.outputs) {
    if (!known.has(name)) throw problem(`the output "${name}" is not produced`);
    if (outputs.has(name)) throw problem(`the output "${name}" is declared twice`);
    outputs.add(name);
  }
  if (outputs.size === 0) throw problem('it has no output');
}
