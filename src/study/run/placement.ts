// Where and with how many threads each process of a study computes.

import { availableParallelism } from 'node:os';
import type { EngineOptions } from '../../engine/node/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { elementCount } from '../../tensor/index.ts';

/** A graph run over no more numbers than this takes microseconds: less than the hop to another thread. */
const tinyNumbers = 1 << 16;

/** How a study's server or site opens its engine. `threads` overrides the default: all cores at the server, one at a site. */
export function enginePlacement(plan: Plan, role: 'server' | 'site', threads?: number): EngineOptions {
  const tiny = isTiny(plan);
  const usual = role === 'server' && !tiny ? availableParallelism() : 1;
  return { placement: tiny ? 'inline' : 'worker', threads: threads ?? usual, spinning: false };
}

function isTiny(plan: Plan): boolean {
  const { segment, trunk, head } = plan.layouts;
  const parameters = [segment, trunk, head]
    .flatMap((layout) => layout?.groups ?? [])
    .reduce((sum, group) => sum + elementCount(group.dims), 0);
  const batch =
    plan.training.batch * Math.max(elementCount(plan.network.cutDims), elementCount(plan.network.inputDims));
  return parameters <= tinyNumbers && batch <= tinyNumbers;
}
