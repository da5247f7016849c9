// Runs that several threads share: the same bits however the records come, in their place among the calls, and failures that harm nothing.

import { describe, expect, test } from 'vitest';
import { conv, maxPool, type Network, relu, stepGraph } from '../../../test/lowering/network.ts';
import { blockHere } from '../../../test/lowering/runtime.ts';
import { expectNear, tensors } from '../../../test/lowering/tensors.ts';
import { EngineError } from '../../base/index.ts';
import { float32, joinRows, rowsOf, type Tensor } from '../../tensor/index.ts';
import type { Engine, LoadedGraph, Run } from '../engine.ts';
import { openEngine } from './open.ts';

const block = await blockHere();
const network: Network = { input: [3, 8, 8], layers: [conv(16), relu, maxPool, conv(32), relu, maxPool] };
const graph = { ...stepGraph(network), metadata: { records: 'independent' } };
const parameters = graph.inputs.map(({ name }) => name).filter((name) => /^p\d+$/.test(name));
const records = 75;
const feeds = tensors(graph, records);
const batched = ['x', 'dy'];

const bound = {
  resident: Object.fromEntries(parameters.map((name) => [name, name])),
  keep: Object.fromEntries(parameters.map((name) => [`${name}.next`, name])),
  fetch: ['y', 'd:x'],
};

async function opened(threads: number): Promise<Engine & { readonly loaded: LoadedGraph }> {
  const engine = await openEngine({ threads });
  const loaded = await engine.load(graph);
  await engine.put(Object.fromEntries(parameters.map((name) => [name, feeds[name]!])));
  return Object.assign(engine, { loaded });
}

/** Rows of the batched feeds. */
function rows(from: number, count: number): Record<string, Tensor> {
  return Object.fromEntries(batched.map((name) => [name, rowsOf(feeds[name]!, from, count)]));
}

/** The same in one buffer that is theirs, as they come in a frame. */
function framed(from: number, count: number): Record<string, Tensor> {
  const views = Object.entries(rows(from, count));
  const buffer = new ArrayBuffer(64 + views.reduce((sum, [, { data }]) => sum + data.byteLength, 0));
  let at = 64;
  return Object.fromEntries(
    views.map(([name, { dtype, dims, data }]) => {
      const own = new Float32Array(buffer, at, data.length);
      own.set(data as Float32Array);
      at += data.byteLength;
      return [name, { dtype, dims, data: own }];
    }),
  );
}

/** Two steps on parts of these sizes: the rows of both, and the parameters after them. */
async function train(
  engine: Engine,
  run: Run,
  sizes: readonly number[],
  transfer = false,
): Promise<Record<string, Tensor>[]> {
  const results: Record<string, Tensor>[] = [];
  for (const _ of [1, 2]) {
    const parted = engine.begin(run);
    const parts: Promise<Record<string, Tensor>>[] = [];
    let from = 0;
    for (const size of sizes) {
      parts.push(transfer ? parted.add(framed(from, size), { transfer }) : parted.add(rows(from, size)));
      from += size;
    }
    expect(await parted.end()).toEqual({});
    const all = await Promise.all(parts);
    results.push(Object.fromEntries(bound.fetch.map((name) => [name, joinRows(all.map((part) => part[name]!))])));
  }
  return [...results, await engine.get(parameters)];
}

describe.skipIf(block === undefined)('a run that threads share (only where ONNX Runtime has blocked kernels)', () => {
  test('has the same bits however its records come, whole too, and near those of one thread', async () => {
    const outcomes: Record<string, Tensor>[][] = [];
    for (const sizes of [[75], [32, 32, 11], [1, 40, 2, 17, 15], [16, 16, 16, 16, 11]]) {
      await using engine = await opened(2);
      expect(engine.info).toMatchObject({ threads: 2, workers: 2 });
      outcomes.push(await train(engine, { graph: engine.loaded, ...bound }, sizes));
      await using another = await opened(2);
      outcomes.push(await train(another, { graph: another.loaded, ...bound }, sizes, true));
    }
    await using whole = await opened(2);
    const run = {
      graph: whole.loaded,
      feeds: Object.fromEntries(batched.map((name) => [name, feeds[name]!])),
      ...bound,
    };
    outcomes.push([await whole.run(run), await whole.run(run), await whole.get(parameters)]);
    for (const outcome of outcomes.slice(1)) expect(outcome).toEqual(outcomes[0]);
    await using single = await opened(1);
    const alone = await train(single, { graph: single.loaded, ...bound }, [75]);
    outcomes[0]?.forEach((values, index) => expectNear(values, alone[index]!));
  });

  test('moves a whole unit that it may keep, and copies all others', async () => {
    await using engine = await opened(2);
    const run = engine.begin({ graph: engine.loaded, ...bound });
    const [unit, rest, kept] = [framed(0, 16), framed(16, 11), rows(0, 16)];
    const added = [run.add(unit, { transfer: true }), run.add(rest, { transfer: true }), run.add(kept)];
    await run.end();
    await Promise.all(added);
    expect(unit['x']!.data.length).toBe(0);
    expect(kept['x']!.data.length).toBeGreaterThan(0);
  });

  test('ends in its place among the calls', async () => {
    await using engine = await opened(2);
    const [p0 = ''] = parameters;
    const run = engine.begin({ graph: engine.loaded, ...bound });
    const before = engine.get([p0]);
    void run.add(rows(0, 40));
    const ended = run.end();
    const after = engine.get([p0]);
    void engine.put({ [p0]: float32(new Float32Array(feeds[p0]!.data.length), feeds[p0]!.dims) });
    const last = engine.get([p0]);
    await ended;
    expect((await before)[p0]).toEqual(feeds[p0]);
    expect((await after)[p0]).not.toEqual(feeds[p0]);
    expect((await last)[p0]!.data.some((value) => value !== 0)).toBe(false);
  });

  test('reads what was put since the last run, in every thread', async () => {
    const outcomes: Record<string, Tensor>[] = [];
    for (const earlier of [0, 1]) {
      await using engine = await opened(2);
      if (earlier > 0) await train(engine, { graph: engine.loaded, ...bound }, [75]);
      const changed = Object.fromEntries(
        parameters.map((name) => {
          const { dims, data } = feeds[name]!;
          return [
            name,
            float32(
              Array.from(data as Float32Array, (value) => value / 2),
              dims,
            ),
          ];
        }),
      );
      await engine.put(changed);
      outcomes.push(...(await train(engine, { graph: engine.loaded, ...bound }, [75])));
    }
    expect(outcomes.slice(3)).toEqual(outcomes.slice(0, 3));
  });

  test('that fails says why at the part and at the end, changes nothing, and the next one runs', async () => {
    await using engine = await opened(2);
    const run = { graph: engine.loaded, ...bound };
    const failing = engine.begin(run);
    const fine = failing.add(rows(0, 16));
    const wrong = failing.add({ x: float32(new Float32Array(16 * 5), [16, 5]), dy: rowsOf(feeds['dy']!, 16, 16) });
    await expect(failing.end()).rejects.toThrow(/input "x": expected \[N, 3, 8, 8\], got \[16, 5\]/);
    await expect(wrong).rejects.toBeInstanceOf(EngineError);
    expect(Object.keys(await fine)).toEqual(bound.fetch);
    expect(await engine.get(parameters)).toEqual(Object.fromEntries(parameters.map((name) => [name, feeds[name]])));
    await using fresh = await opened(2);
    expect(await train(engine, run, [75])).toEqual(await train(fresh, { graph: fresh.loaded, ...bound }, [75]));
    const absent = engine.begin({ ...run, resident: { ...bound.resident, [parameters[0]!]: 'absent' } });
    const never = absent.add(rows(0, 40));
    await expect(absent.end()).rejects.toThrow(/"absent" is resident/);
    await expect(never).rejects.toThrow(/"absent" is resident/);
  });

  test('of two at once, each has its own sums', async () => {
    await using engine = await opened(2);
    const run = (fetch: readonly string[]): Run => ({ graph: engine.loaded, ...bound, keep: {}, fetch });
    const ends = [run(['p0.next', 'y']), run(['p0.next'])].map(async (each, index) => {
      const parted = engine.begin(each);
      void parted.add(rows(index * 20, 20));
      void parted.add(rows(index * 20 + 20, 20));
      return (await parted.end())['p0.next']!;
    });
    const [one, other] = await Promise.all(ends);
    for (const [index, got] of [one, other].entries()) {
      const parted = engine.begin(run(['p0.next']));
      void parted.add(rows(index * 20, 40));
      expect((await parted.end())['p0.next']).toEqual(got);
    }
    expect(one).not.toEqual(other);
  });
});
