// An output may be written over an input's own memory (a parameter over itself) only when no node can read the input afterwards.
// A runtime runs nodes in any order that their inputs allow, so "later in the list" proves nothing: what counts is dependence.

import { EngineError } from '../base/index.ts';
import type { Graph, Node } from '../onnx/index.ts';

/** Operators whose output may share their input's memory. */
const views: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Operators that read element i of each input before they write element i of the output, and need it no more. */
const elementwise: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max']);

/**
 * Checks that each output may be written in place over its input: every node that reads the input (or a view of it) must be one on
 * which the writing node depends, or the writing node itself if it works element by element.
 *
 * @param aliases output name → the name of the input that it overwrites
 * @throws EngineError `unsafe-in-place` naming the input and the nodes that read it
 */
export function checkInPlace(graph: Graph, aliases: Readonly<Record<string, string>>): void {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  for (const [output, input] of Object.entries(aliases)) {
    const writer = writerOf(output, producers);
    if (!writer) throw unsafe(graph, output, input, 'no node computes the output');
    const readers = readersOf(graph, input);
    const before = ancestorsOf(writer, producers);
    const late = readers.filter((node) => node !== writer && !before.has(node));
    if (late.length > 0)
      throw unsafe(
        graph,
        output,
        input,
        `it is read by ${names(readers)}, and ${names(late)} may run after ${writer.name} has overwritten it`,
      );
    if (readers.includes(writer) && !elementwise.has(writer.op))
      throw unsafe(graph, output, input, `${names([writer])} does not work element by element`);
  }
}

/** The node that writes the memory of an output, through views of it. */
function writerOf(output: string, producers: ReadonlyMap<string, Node>): Node | undefined {
  let node = producers.get(output);
  while (node && views.has(node.op)) {
    const source = producers.get(node.inputs[0]!);
    if (!source) return node;
    node = source;
  }
  return node;
}

/** Every node that reads a value's memory, directly or through views. */
function readersOf(graph: Graph, value: string): Node[] {
  const memory = new Set([value]);
  const readers: Node[] = [];
  for (const node of graph.nodes) {
    if (!node.inputs.some((input) => memory.has(input))) continue;
    if (views.has(node.op) && memory.has(node.inputs[0]!)) memory.add(node.outputs[0]!);
    else readers.push(node);
  }
  return readers;
}

/** The nodes that must have run before `node` can. */
function ancestorsOf(node: Node, producers: ReadonlyMap<string, Node>): Set<Node> {
  const found = new Set<Node>();
  const open = [node];
  for (let current = open.pop(); current; current = open.pop()) {
    for (const input of current.inputs) {
      const producer = producers.get(input);
      if (producer && !found.has(producer)) {
        found.add(producer);
        open.push(producer);
      }
    }
  }
  return found;
}

function names(nodes: readonly Node[]): string {
  return nodes.map((node) => `${node.name} (${node.op})`).join(', ');
}

function unsafe(graph: Graph, output: string, input: string, reason: string): EngineError {
  return new EngineError(
    'unsafe-in-place',
    `graph ${graph.name}: "${output}" cannot be written over "${input}": ${reason}; give the output memory of its own`,
  );
}
