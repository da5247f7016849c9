// Graphs that an engine runs lowered: any number of records, and the graph as it is where lowering does not hold.

import { describe, expect, test } from 'vitest';
import { conv, maxPool, type Network, relu, trainingGraph } from '../../../test/lowering/network.ts';
import { blockHere } from '../../../test/lowering/runtime.ts';
import { expectNear, fetchAll, tensors } from '../../../test/lowering/tensors.ts';
import { extract, GraphBuilder } from '../../onnx/index.ts';
import { float32, type Tensor } from '../../tensor/index.ts';
import type { Engine, Run } from '../engine.ts';
import { openEngine } from './open.ts';

const block = await blockHere();
const network: Network = { input: [3, 8, 8], layers: [conv(16), relu, maxPool, conv(32), relu, maxPool] };
const independent = { records: 'independent' };

/** An engine in this thread, with the refusals that it was told of. */
async function open(lowering: 'auto' | 'none'): Promise<Engine & { readonly refusals: string[] }> {
  const refusals: string[] = [];
  const onRefusal = (graph: string, reason: string): void => void refusals.push(`${graph}: ${reason}`);
  return Object.assign(await openEngine({ threads: 1, placement: 'inline', lowering, onRefusal }), { refusals });
}

describe.skipIf(block === undefined)('an engine that lowers (only where ONNX Runtime has blocked kernels)', () => {
  test('gives what one that does not gives, for any number of independent records', async () => {
    await using lowering = await open('auto');
    await using standard = await open('none');
    expect([lowering.info.lowering, standard.info.lowering]).toEqual([`blocks of ${block}, winograd`, 'none']);
    const graph = { ...trainingGraph(network), metadata: independent };
    const [one, other] = [await lowering.load(graph), await standard.load(graph)];
    for (const records of [1, 5, 16, 21]) {
      const run = { feeds: tensors(graph, records), fetch: fetchAll(graph) };
      expectNear(await lowering.run({ graph: one, ...run }), await standard.run({ graph: other, ...run }));
    }
    expect(lowering.refusals).toEqual([]);
  });

  test('hands what one graph keeps to another, whatever the number of records was before', async () => {
    const whole = trainingGraph(network);
    const kept = whole.nodes.find(({ op }) => op === 'Conv')?.outputs[0] as string;
    const names = whole.inputs.map(({ name }) => name);
    const ofForward = names.filter((name) => name !== 'dy');
    const forward = { ...extract(whole, { inputs: ofForward, outputs: ['y', kept] }), metadata: independent };
    const gradients = fetchAll(whole).filter((name) => name.startsWith('d:'));
    const backward = { ...extract(whole, { inputs: [...names, kept], outputs: gradients }), metadata: independent };
    const results: Record<string, Tensor>[][] = [];
    for (const lowering of ['auto', 'none'] as const) {
      await using engine = await open(lowering);
      const [up, down] = [await engine.load(forward), await engine.load(backward)];
      const steps: Record<string, Tensor>[] = [];
      for (const records of [16, 5, 1, 21]) {
        const { dy, ...feeds } = tensors(whole, records);
        const runs: Run[] = [
          { graph: up, feeds, keep: { [kept]: 'kept' }, fetch: ['y'] },
          { graph: down, feeds: { ...feeds, dy: dy! }, resident: { [kept]: 'kept' }, fetch: gradients },
        ];
        steps.push(...(await engine.runAll(runs)), await engine.get(['kept']));
      }
      expect(engine.refusals).toEqual([]);
      results.push(steps);
    }
    const [lowered, standard] = results;
    lowered!.forEach((step, index) => expectNear(step, standard![index]!));
  });

  test('runs what is not said to be of independent records as it is, unless whole blocks come', async () => {
    await using lowering = await open('auto');
    await using standard = await open('none');
    const graph = trainingGraph(network);
    const [one, other] = [await lowering.load(graph), await standard.load(graph)];
    for (const records of [5, 16]) {
      const run = { feeds: tensors(graph, records, 'continuous'), fetch: ['y', 'd:p2'] };
      const [got, expected] = [
        await lowering.run({ graph: one, ...run }),
        await standard.run({ graph: other, ...run }),
      ];
      if (records === 5) expect(got).toEqual(expected);
      else expectNear({ y: got['y']! }, { y: expected['y']! });
    }
  });

  test('computes wide convolutions in the transformed domain unless told not to, to the same values', async () => {
    const wide: Network = { input: [3, 32, 32], layers: [conv(64), relu, maxPool, conv(64), relu] };
    const graph = { ...trainingGraph(wide), metadata: independent };
    const options = { threads: 1, placement: 'inline' } as const;
    await using auto = await openEngine(options);
    await using direct = await openEngine({ ...options, convolution: 'direct' });
    expect(direct.info.lowering).toBe(`blocks of ${block}`);
    const [one, other] = [await auto.load(graph), await direct.load(graph)];
    for (const records of [3, 16]) {
      const run = { feeds: tensors(graph, records, 'continuous'), fetch: fetchAll(graph) };
      const [got, again] = [await auto.run({ graph: one, ...run }), await auto.run({ graph: one, ...run })];
      expect(got).toEqual(again);
      const expected = await direct.run({ graph: other, ...run });
      expect(got).not.toEqual(expected);
      expectNear({ y: got['y']! }, { y: expected['y']! });
    }
  });

  test('runs a graph whose operators the lowering does not know', async () => {
    await using engine = await open('auto');
    const builder = new GraphBuilder('determinant');
    const x = builder.input('x', 'float32', ['N', 2, 2]);
    const type = { dtype: 'float32', dims: ['N'] } as const;
    const [y = ''] = builder.addTyped({ op: 'Det', domain: '', inputs: [x], outputs: ['y'], attributes: {} }, [type]);
    builder.output(y);
    const graph = await engine.load(builder.build());
    const feeds = { x: float32([2, 0, 0, 3], [1, 2, 2]) };
    expect(await engine.run({ graph, feeds, fetch: ['y'] })).toEqual({ y: float32([6]) });
    expect(engine.refusals).toEqual([expect.stringMatching(/^determinant: .*Det/)]);
  });
});
