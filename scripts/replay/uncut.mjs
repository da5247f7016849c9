// The uncut network, trained in one process on given batches; no site, no server, no message.

import { bindingsOf, compileUncut, dropoutMasks, hyperOf, initialState, partsOfSites } from '../../dist/split/index.js';
import { elementCount, float32, tensor } from '../../dist/tensor/index.js';

/** The network of a plan at an engine. `frozen` names parameters that no step changes. */
export async function openUncut({ plan, compiled }, engine, { target, classWeights, frozen = [] }) {
  const { optimizer, clipNorm } = plan.training;
  const { network, loss } = { network: compiled.network, loss: plan.network.loss };
  const { part, step, evaluate } = compileUncut(
    { network, loss, task: plan.task, optimizer, clipNorm },
    partsOfSites(compiled),
  );
  const [stepGraph, evaluateGraph] = [await engine.load(step), await engine.load(evaluate)];
  const [stepBindings, evaluateBindings] = [bindingsOf(step), bindingsOf(evaluate)];
  const wanted = new Set(step.inputs.map(({ name }) => name));
  const start = initialState(part, plan.seed);
  await engine.put(start);
  const held = frozenSlices(part, frozen);
  const targetTensor = float32([target.mean, target.sd]);

  /** One step; its loss. `at` counts from 0. */
  async function learn({ x, labels, places }, at, totalSteps) {
    const classes = plan.task.kind === 'classification';
    const records = labels.length;
    const weights = Float32Array.from(labels, (label) => (classes ? classWeights[label] : 1) / records);
    const feeds = {
      x,
      labels: classes
        ? tensor('int32', [records], Int32Array.from(labels))
        : tensor('float32', [records], Float32Array.from(labels)),
      weight: tensor('float32', [records], weights),
      target: targetTensor,
      hyper: hyperOf(plan.training, { step: at, totalSteps, update: at + 1, scale: 1 }),
      ...dropoutMasks(plan.seed, part.masks, places),
    };
    const { loss } = await engine.run({
      graph: stepGraph,
      feeds: Object.fromEntries(Object.entries(feeds).filter(([name]) => wanted.has(name))),
      ...stepBindings,
      fetch: ['loss'],
    });
    if (held.length > 0) await refreeze();
    return loss.data.reduce((sum, one, row) => sum + one * weights[row], 0);
  }

  async function refreeze() {
    const state = await engine.get([...new Set(held.map(({ name }) => name))]);
    for (const { name, offset, length } of held)
      state[name].data.set(start[name].data.subarray(offset, offset + length), offset);
    await engine.put(state);
  }

  /** The outputs of all of a part's records, one after another. */
  async function outputs(records) {
    const width = elementCount(plan.network.outputDims);
    const all = new Float32Array(records.count * width);
    for (let from = 0; from < records.count; from += 64) {
      const rows = Array.from({ length: Math.min(64, records.count - from) }, (_, row) => from + row);
      const x = await records.load(rows);
      const { y } = await engine.run({ graph: evaluateGraph, feeds: { x }, ...evaluateBindings, fetch: ['y'] });
      all.set(y.data, from * width);
    }
    return all;
  }

  const names = Object.keys(start);
  return { learn, outputs, state: () => engine.get(names), setState: (state) => engine.put(state) };
}

/** Where the frozen parameters are in the state's tensors. */
function frozenSlices({ layout }, frozen) {
  return layout.groups.flatMap(({ members }, index) =>
    members
      .filter(({ name }) => frozen.includes(name))
      .map(({ dims, offset }) => ({ name: `network.w${index}`, offset, length: elementCount(dims) })),
  );
}
