// Which inputs and outputs of a study's graph stay at the engine, told by their names (part-graphs.ts): parameters, statistics, slots,
// gradients and what backward keeps from forward. A scope keeps several copies apart: one trunk replica a site, say.

import type { Graph } from '../onnx/index.ts';

/** The `resident` and `keep` of an engine's run. */
export interface Bindings {
  readonly resident: Readonly<Record<string, string>>;
  readonly keep: Readonly<Record<string, string>>;
}

/** Where a run of a site that has several steps in flight finds and leaves what is not the same for all of them. */
export interface InFlight {
  /** Before the names of the parameters that it reads. */
  readonly parameters: string;
  /** Before the names of those that it makes. */
  readonly next: string;
  /** Before the names of what the backward pass of its batch needs of the forward pass. */
  readonly batch: string;
}

const stateName = /^(segment|trunk|head|network)\.(w\d+(\.s\d+)?|r\d+)$/;
const parameterName = /^(segment|head)\.w\d+$/;
const gradientName = /^(segment|trunk|head|network)\.g\d+$/;

/** Whether a graph input is part of a part's state. */
export function isState(name: string): boolean {
  return stateName.test(name);
}

/** The bindings of `graph`; `held` names further values that stay at the engine, such as kept ones and the batch itself. */
export function bindingsOf(graph: Graph, held: readonly string[] = [], scope = ''): Bindings {
  const resident: Record<string, string> = {};
  const keep: Record<string, string> = {};
  for (const { name } of graph.inputs) {
    if (isState(name) || gradientName.test(name) || held.includes(name)) resident[name] = scope + name;
  }
  for (const { name } of graph.outputs) {
    if (name.endsWith('.next')) keep[name] = scope + name.slice(0, -'.next'.length);
    else if (gradientName.test(name) || held.includes(name)) keep[name] = scope + name;
  }
  return { resident, keep };
}

/** `bindingsOf` where parameters have several versions and `held` values are of several batches; optimizer slots, statistics and gradients are one. */
export function bindingsInFlight(
  graph: Graph,
  held: readonly string[],
  { parameters, next, batch }: InFlight,
): Bindings {
  const { resident, keep } = bindingsOf(graph, held);
  const placed = (names: Bindings['keep'], version: string) =>
    Object.fromEntries(
      Object.entries(names).map(([name, own]) => {
        const prefix = parameterName.test(own) ? version : held.includes(own) ? batch : '';
        return [name, prefix + own];
      }),
    );
  return { resident: placed(resident, parameters), keep: placed(keep, next) };
}
