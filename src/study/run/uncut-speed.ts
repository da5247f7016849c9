// The uncut network's training step in one process: what splitting is compared with.

import { randomStream } from '../../base/index.ts';
import type { Provider } from '../../engine/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import { bindingsOf, compileUncut, hyperOf, initialState, partsOfSites, type PlannedStudy } from '../../split/index.ts';
import { elementCount, float32, tensor, zeros } from '../../tensor/index.ts';
import { enginePlacement } from './placement.ts';

/** The uncut network of a study, with its training step. */
export function uncutOf({ plan, study }: PlannedStudy): ReturnType<typeof compileUncut> {
  const { optimizer, clipNorm } = plan.training;
  const { loss } = plan.network;
  return compileUncut({ network: study.network, loss, task: plan.task, optimizer, clipNorm }, partsOfSites(study));
}

/** Training records a second on random batches of the plan's size, all threads, after `warmUp` steps that are not timed. */
export async function uncutSpeed(
  planned: PlannedStudy,
  warmUp: number,
  steps: number,
  provider?: Provider,
): Promise<number> {
  const { plan } = planned;
  const { batch } = plan.training;
  const { network, task } = plan;
  const { part, step } = uncutOf(planned);
  const engine = await openEngine(enginePlacement(plan, 'server', { provider }));
  try {
    const graph = await engine.load(step);
    await engine.put(initialState(part, plan.seed));
    const { resident, keep } = bindingsOf(step);
    const stream = randomStream(plan.seed, 'random records', [0]);
    const width = elementCount(network.inputDims);
    const x = Float32Array.from({ length: batch * width }, (_, element) => stream.normal(0, element));
    const labels =
      task.kind === 'classification'
        ? tensor(
            'int32',
            [batch],
            Int32Array.from({ length: batch }, (_, row) => Math.floor(stream.uniform(1, row) * task.classes.length)),
          )
        : tensor(
            'float32',
            [batch],
            Float32Array.from({ length: batch }, (_, row) => stream.uniform(1, row)),
          );
    const weight = zeros('float32', [batch]);
    weight.data.fill(1 / batch);
    const wanted = new Set(step.inputs.map(({ name }) => name));
    let since = performance.now();
    for (let at = 0; at < warmUp + steps; at++) {
      if (at === warmUp) since = performance.now();
      const feeds = {
        x: tensor('float32', [batch, ...network.inputDims], x),
        labels,
        weight,
        target: float32([0, 1]),
        hyper: hyperOf(plan.training, { step: at, totalSteps: warmUp + steps, update: at + 1, scale: 1 }),
      };
      const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => wanted.has(name)));
      await engine.run({ graph, feeds: given, resident, keep, fetch: ['loss'] });
    }
    return (1000 * batch * steps) / (performance.now() - since);
  } finally {
    await engine.close();
  }
}
