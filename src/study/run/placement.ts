// Where and with how many threads each process of a study computes.

import { availableParallelism } from 'node:os';
import type { Provider } from '../../engine/index.ts';
import type { EngineOptions } from '../../engine/node/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { elementCount } from '../../tensor/index.ts';

/** A graph run over no more numbers than this takes microseconds: less than the hop to another thread. */
const tinyNumbers = 1 << 16;

/** What a party may say of its engine. */
export interface EngineChoice {
  /** Default: all cores at the server, one at a site. */
  readonly threads?: number | undefined;
  /** What computes; default `cpu`. */
  readonly provider?: Provider | undefined;
}

/** How a study's server or site opens its engine. */
export function enginePlacement(plan: Plan, role: 'server' | 'site', choice: EngineChoice = {}): EngineOptions {
  const { threads, provider = 'cpu' } = choice;
  const inline = isInline(plan);
  const usual = role === 'server' && !inline ? availableParallelism() : 1;
  return { provider, placement: inline ? 'inline' : 'worker', threads: threads ?? usual, spinning: false };
}

/** Whether the study's network is so small that engines run in their process's own thread. */
export function isInline(plan: Plan): boolean {
  const { segment, trunk, head } = plan.layouts;
  const parameters = [segment, trunk, head]
    .flatMap((layout) => layout?.groups ?? [])
    .reduce((sum, group) => sum + elementCount(group.dims), 0);
  const batch =
    plan.training.batch * Math.max(elementCount(plan.network.cutDims), elementCount(plan.network.inputDims));
  return parameters <= tinyNumbers && batch <= tinyNumbers;
}
