// Taking a batch in units of records, so that what a step holds in memory does not grow with its batch. Where records do not meet, a
// training step is a part that sees records and puts out sums over them (the parameters' gradients), and a rest that sees the sums alone
// (the update). The first part can run on some records at a time; its sums are added in order.

import { builderOf, extract, type Graph, type Node, type ValueInfo } from '../onnx/index.ts';

/** A graph in its two parts. */
export interface InUnits {
  /** Records → what is put out for each record, and `sums`. */
  readonly records: Graph;
  /** Sums → every output that is not of a record. */
  readonly rest: Graph;
  readonly sums: readonly ValueInfo[];
  /** Bytes of all values that belong to one record, roughly. */
  readonly recordBytes: number;
}

/** Operators that only move elements: of a sum they make a sum. */
const moves = new Set(['Concat', 'Identity', 'Reshape', 'Slice', 'Split', 'Squeeze', 'Transpose', 'Unsqueeze']);

const perRecord = { float32: 4, int32: 4, bool: 1, uint8: 1, int64: 8, float64: 8 } as const;

/** The graph in two parts; undefined when records meet in it, when it has no sums over them, or none is left for the rest to do. */
export function inUnits(graph: Graph): InUnits | undefined {
  const types = builderOf(graph);
  const isOfRecords = (value: string) => value !== '' && types.dimsOf(value).some((dim) => typeof dim === 'string');
  const ofRecords = new Set(graph.inputs.map(({ name }) => name).filter(isOfRecords));
  const sums = new Set<string>();
  const beyond = new Set<string>();
  const frontier = new Set<string>();
  let recordBytes = 0;
  const take = (node: Node, into: Set<string>): void => {
    for (const output of node.outputs) if (output !== '') into.add(output);
  };
  for (const node of graph.nodes) {
    const seesRecords = node.inputs.some((input) => ofRecords.has(input));
    const seesSums = node.inputs.some((input) => sums.has(input) || beyond.has(input));
    if (!seesRecords && !seesSums) continue;
    if (seesRecords && seesSums) return undefined;
    if (seesRecords) {
      for (const output of node.outputs) {
        if (output === '') continue;
        const { dtype, dims } = types.typeOf(output);
        // Whole numbers are shapes and places: they belong to the records, whatever their own shape.
        if (!isOfRecords(output)) (dtype.startsWith('float') ? sums : ofRecords).add(output);
        else if (dims[0] === 'N' && dims.slice(1).every((dim) => typeof dim === 'number')) {
          ofRecords.add(output);
          const width = dims.slice(1).reduce<number>((product, dim) => product * (dim as number), 1);
          recordBytes += width * ((perRecord as Partial<Record<string, number>>)[dtype] ?? 4);
        } else ofRecords.add(output);
      }
    } else if (moves.has(node.op) && node.inputs.every((input) => sums.has(input) || types.constantOf(input))) {
      take(node, sums);
    } else {
      for (const input of node.inputs) if (sums.has(input)) frontier.add(input);
      take(node, beyond);
    }
  }
  const outputs = graph.outputs.map(({ name }) => name);
  for (const output of outputs) if (sums.has(output)) frontier.add(output);
  const ofRest = outputs.filter((name) => !ofRecords.has(name));
  if (frontier.size === 0 || ofRest.some((name) => sums.has(name))) return undefined;
  const inputs = graph.inputs.map(({ name }) => name);
  const records = part(graph, inputs, [...outputs.filter((name) => ofRecords.has(name)), ...frontier], 'records');
  const rest = part(graph, [...inputs.filter((name) => !ofRecords.has(name)), ...frontier], ofRest, 'rest');
  return { records, rest, sums: rest.inputs.filter(({ name }) => frontier.has(name)), recordBytes };
}

/** The part of a graph between these values, without the inputs that it does not read. */
function part(graph: Graph, inputs: readonly string[], outputs: readonly string[], what: string): Graph {
  const whole = extract(graph, { inputs, outputs, name: `${graph.name}-${what}` });
  const read = new Set(whole.nodes.flatMap((node) => node.inputs));
  return { ...whole, inputs: whole.inputs.filter(({ name }) => read.has(name)) };
}
