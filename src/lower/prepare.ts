// What of a graph sees no record (the layouts of weights, mostly), apart from what does: it is computed once for all units of a batch.

import { type Graph, type Node, readsOf, type ValueInfo, type ValueType } from '../onnx/index.ts';

/** A graph in its two parts. */
export interface Prepared {
  /** Inputs that are of no record → what `records` reads beside its own inputs. */
  readonly prepare: Graph;
  /** The graph, with the outputs of `prepare` as inputs. */
  readonly records: Graph;
}

/** The graph in two parts; undefined when everything in it sees records, or an output sees none. `typeOf` tells a value's type. */
export function prepared(graph: Graph, typeOf: (value: string) => ValueType): Prepared | undefined {
  const isBatched = ({ dims }: ValueInfo): boolean => dims.some((dim) => typeof dim === 'string');
  const ofRecords = new Set(graph.inputs.filter(isBatched).map(({ name }) => name));
  const ofStep = new Set(graph.inputs.filter((input) => !isBatched(input)).map(({ name }) => name));
  const declared = new Set(ofStep);
  const nodes: Record<'prepare' | 'records', Node[]> = { prepare: [], records: [] };
  for (const node of graph.nodes) {
    const reads = readsOf(node);
    const seesRecords = reads.some((value) => ofRecords.has(value));
    const seesStep = reads.some((value) => ofStep.has(value));
    // What follows from constants alone is computed when a session is made, in either part.
    if (!seesRecords) nodes.prepare.push(node);
    if (seesRecords || !seesStep) nodes.records.push(node);
    const into = seesRecords ? ofRecords : seesStep ? ofStep : undefined;
    if (into) for (const output of node.outputs) if (output !== '') into.add(output);
  }
  const read = new Set(nodes.records.flatMap(readsOf));
  const between = [...ofStep].filter((value) => !declared.has(value) && read.has(value));
  if (between.length === 0 || graph.outputs.some(({ name }) => !ofRecords.has(name))) return undefined;
  const infos = between.map((name) => ({ name, ...typeOf(name) }));
  return {
    prepare: partOf(graph, 'prepare', { inputs: graph.inputs, outputs: infos, nodes: nodes.prepare }),
    records: partOf(graph, 'units', {
      inputs: [...graph.inputs, ...infos],
      outputs: graph.outputs,
      nodes: nodes.records,
    }),
  };
}

/** The nodes that the outputs need, with the inputs and initializers that these read. */
function partOf(graph: Graph, what: string, part: Pick<Graph, 'inputs' | 'outputs' | 'nodes'>): Graph {
  const needed = new Set(part.outputs.map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of part.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const value of readsOf(node)) needed.add(value);
    nodes.push(node);
  }
  return {
    ...graph,
    name: `${graph.name}-${what}`,
    inputs: part.inputs.filter(({ name }) => needed.has(name)),
    outputs: part.outputs,
    initializers: new Map([...graph.initializers].filter(([name]) => needed.has(name))),
    nodes: nodes.toReversed(),
  };
}
