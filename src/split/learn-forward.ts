// A site's learning from one batch and its forward pass on the next as one graph. A run costs a small network more than its arithmetic, so
// that one run is much faster than two; the operators and their order are those of the two graphs, and so are the bits.

import { bindDims, builderOf, type Graph, inline, withoutCopiedOutputs } from '../onnx/index.ts';
import { elementCount } from '../tensor/index.ts';
import { isState } from './bindings.ts';
import type { CompiledStudy } from './compile.ts';

/** Before the names of the next batch's inputs and of its activations. */
export const NEXT = 'next/';

/** Parameters from which on a graph's arithmetic outweighs what a run costs. */
const smallElements = 1 << 16;
/** What engines lower, each graph for its own batch. */
const lowered = new Set(['Conv', 'ConvTranspose']);

/** The graph; undefined where the two do not follow each other, or are not small. */
export function learnForwardGraph({ graphs, parts }: CompiledStudy): Graph | undefined {
  const { 'segment-learn': learn, 'segment-forward': forward } = graphs;
  const { groups } = parts.segment.layout;
  const elements = groups.reduce((sum, { dims }) => sum + elementCount(dims), 0);
  if (!learn || !forward || parts.head || elements > smallElements) return undefined;
  if ([...learn.nodes, ...forward.nodes].some(({ op }) => lowered.has(op))) return undefined;
  const builder = builderOf(learn, 'segment-learn-forward');
  for (const { name } of learn.outputs) builder.output(name);
  const made = new Set(learn.outputs.map(({ name }) => name));
  // The next batch may be of another size.
  const next = bindDims(forward, { N: 'M' });
  const bindings = new Map<string, string>();
  for (const { name, dtype, dims } of next.inputs) {
    if (made.has(`${name}.next`)) bindings.set(name, `${name}.next`);
    else if (isState(name) && builder.has(name)) bindings.set(name, name);
    else bindings.set(name, builder.input(isState(name) ? name : NEXT + name, dtype, dims));
  }
  const values = inline(builder, next, bindings, NEXT);
  for (const { name } of next.outputs) {
    // What stays at the engine has the name that its `keep` is told by.
    const kept = name.endsWith('.next') ? name : `${name}.next`;
    builder.output(values.get(name) as string, name === 'cut' ? NEXT + name : kept);
  }
  return withoutCopiedOutputs(builder.build({ metadata: learn.metadata }));
}
