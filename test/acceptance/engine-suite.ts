// What every engine must do. Each is run through this suite by a test of its own (engine.test.ts for Node's), so nothing here may
// need more than a browser has.

import { describe, expect, test } from 'vitest';
import { EngineError } from '../../src/base/index.ts';
import type { Engine, LoadedGraph } from '../../src/engine/index.ts';
import { GraphBuilder, type Graph } from '../../src/onnx/index.ts';
import { bytesOf, float32, int64, tensor, type DType, type Tensor } from '../../src/tensor/index.ts';

export interface EngineUnderTest {
  open(options?: { readonly bytesMax?: number }): Promise<Engine>;
  /** Runs take the caller's thread. Only an engine that says so may block it. */
  readonly blocks: boolean;
}

export function engineSuite(name: string, under: EngineUnderTest): void {
  describe(`${name} engine`, () => {
    test('fed inputs give fetched outputs, with the dimensions of this run', async () => {
      await using engine = await under.open();
      const graph = await engine.load(rowSums());
      for (const rows of [3, 1, 5]) {
        const x = float32(
          Array.from({ length: rows * 2 }, (_, index) => index),
          [rows, 2],
        );
        const { sums } = await engine.run({ graph, feeds: { x }, fetch: ['sums'] });
        expect(sums).toEqual(
          float32(
            Array.from({ length: rows }, (_, row) => 4 * row + 1),
            [rows],
          ),
        );
      }
    });

    test('outputs may be asked for in any selection and order', async () => {
      await using engine = await under.open();
      const graph = await engine.load(threeOutputs());
      const feeds = { x: float32([1, 2]) };
      expect(await engine.run({ graph, feeds, fetch: ['third'] })).toEqual({ third: float32([3, 6]) });
      expect(await engine.run({ graph, feeds, fetch: ['third', 'first'] })).toEqual({
        third: float32([3, 6]),
        first: float32([1, 2]),
      });
      expect(await engine.run({ graph, feeds, keep: { second: 'kept' }, fetch: ['third'] })).toEqual({
        third: float32([3, 6]),
      });
      expect(await engine.get(['kept'])).toEqual({ kept: float32([2, 4]) });
      expect(await engine.run({ graph, feeds })).toEqual({});
    });

    test.each(elements)('$dtype tensors go in, stay and come back unchanged', async ({ dtype, data }) => {
      await using engine = await under.open();
      const graph = await engine.load(identity(dtype, data.length));
      const x = tensor(dtype, [data.length], data);
      await engine.put({ held: x });
      expect(await engine.run({ graph, feeds: { x }, fetch: ['y'] })).toEqual({ y: x });
      expect(await engine.run({ graph, resident: { x: 'held' }, keep: { y: 'copy' }, fetch: [] })).toEqual({});
      expect(await engine.get(['held', 'copy'])).toEqual({ held: x, copy: x });
    });

    test('scalars and empty batches are tensors like any other', async () => {
      await using engine = await under.open();
      const graph = await engine.load(rowSums());
      expect(await engine.run({ graph, feeds: { x: float32([], [0, 2]) }, fetch: ['sums'] })).toEqual({
        sums: float32([], [0]),
      });
      await engine.put({ step: float32([7], []) });
      expect(await engine.get(['step'])).toEqual({ step: float32([7], []) });
    });

    test('what the caller does to its tensors after a call does not reach the engine, nor the other way', async () => {
      await using engine = await under.open();
      const graph = await engine.load(identity('float32', 2));
      const x = float32([1, 2]);
      const putting = engine.put({ held: x });
      const running = engine.run({ graph, feeds: { x }, keep: { y: 'kept' }, fetch: ['y'] });
      x.data.fill(9);
      await putting;
      const fetched = (await running)['y']!;
      expect(fetched).toEqual(float32([1, 2]));
      fetched.data.fill(8 as never);
      const copies = await engine.get(['held', 'kept']);
      copies['held']!.data.fill(8 as never);
      expect(await engine.get(['held', 'kept'])).toEqual({ held: float32([1, 2]), kept: float32([1, 2]) });
    });

    test('transferred tensors arrive, several on one buffer too', async () => {
      await using engine = await under.open();
      const graph = await engine.load(descent(['p', 'q']));
      const packed = new Float32Array([1, 2, 3, 4, 5, 6, 7, 8]);
      await engine.put(
        {
          p: tensor('float32', [2], packed.subarray(0, 2)),
          q: tensor('float32', [2], packed.subarray(2, 4)),
        },
        { transfer: true },
      );
      const gradients = new Float32Array([0, 0.5, 1, 1.5]);
      await engine.run({
        graph,
        feeds: {
          gradient_p: tensor('float32', [2], gradients.subarray(0, 2)),
          gradient_q: tensor('float32', [2], gradients.subarray(2, 4)),
        },
        transfer: true,
        resident: { p: 'p', q: 'q' },
        keep: { next_p: 'p', next_q: 'q' },
      });
      expect(await engine.get(['p', 'q'])).toEqual({ p: float32([1, 1.5]), q: float32([2, 2.5]) });
    });

    test('a view of a larger buffer gives only its own elements', async () => {
      await using engine = await under.open();
      const graph = await engine.load(identity('float32', 2));
      const x = tensor('float32', [2], new Float32Array([0, 1, 2, 3]).subarray(1, 3));
      expect(await engine.run({ graph, feeds: { x }, fetch: ['y'] })).toEqual({ y: float32([1, 2]) });
    });

    test('calls take effect in the order they were made, without waiting for one another', async () => {
      await using engine = await under.open();
      const graph = await engine.load(descent(['p']));
      const seen: Promise<Record<string, Tensor>>[] = [];
      void engine.put({ p: float32([100, 0]) });
      for (let step = 0; step < 20; step++) {
        void engine.run({
          graph,
          feeds: { gradient_p: float32([1, -1]) },
          resident: { p: 'p' },
          keep: { next_p: 'p' },
        });
        seen.push(engine.get(['p']));
        if (step === 9) void engine.put({ p: float32([50, 50]) });
      }
      const first = (await Promise.all(seen)).map((tensors) => tensors['p']!.data[0]);
      expect(first).toEqual([99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40]);
    });

    test('a parameter that is read again after its new value is known still gives its old one', async () => {
      await using engine = await under.open();
      const graph = await engine.load(readTwice(4096));
      const p = Float32Array.from({ length: 4096 }, (_, index) => Math.fround(index / 64 - 32));
      await engine.put({ p: tensor('float32', [4096], p.slice()) });
      for (let step = 0; step < 6; step++) {
        const { product } = await engine.run({
          graph,
          resident: { p: 'p' },
          keep: { next: 'p' },
          fetch: ['product'],
        });
        const next = p.map((value) => Math.fround(value * 0.5));
        expect(product!.data).toEqual(p.map((value, index) => Math.fround(value * next[index]!)));
        p.set(next);
        expect((await engine.get(['p']))['p']!.data).toEqual(p);
      }
    });

    test('two parameters may change places', async () => {
      await using engine = await under.open();
      const graph = await engine.load(descent(['p', 'q']));
      const none = float32([0, 0]);
      await engine.put({ a: float32([1, 2]), b: float32([3, 4]) });
      for (let round = 0; round < 5; round++)
        await engine.run({
          graph,
          feeds: { gradient_p: none, gradient_q: none },
          resident: { p: 'a', q: 'b' },
          keep: { next_p: 'b', next_q: 'a' },
        });
      expect(await engine.get(['a', 'b'])).toEqual({ a: float32([3, 4]), b: float32([1, 2]) });
    });

    test('kept activations may change size from run to run', async () => {
      await using engine = await under.open();
      const graph = await engine.load(rowSums());
      for (const rows of [20_000, 1, 20_000, 3]) {
        const x = tensor('float32', [rows, 2], new Float32Array(rows * 2).fill(1));
        await engine.run({ graph, feeds: { x }, keep: { sums: 'sums' } });
        expect((await engine.get(['sums']))['sums']).toEqual(tensor('float32', [rows], new Float32Array(rows).fill(2)));
      }
    });

    test('a run that does not fit its graph is refused, and says why', async () => {
      await using engine = await under.open();
      const graph = await engine.load(affine());
      const x = float32([1, 2, 3, 4], [2, 2]);
      const w = float32([1, 2]);
      await engine.put({ held: w });
      const refusals: [Parameters<Engine['run']>[0], RegExp][] = [
        [{ graph, feeds: { x } }, /graph affine: input "w" is missing/],
        [{ graph, feeds: { x, w, v: w } }, /no input is called "v"; its inputs are x, w/],
        [{ graph, feeds: { x, w: float32([1, 2, 3]) } }, /input "w": expected \[2\], got \[3\]/],
        [{ graph, feeds: { x, w: float32([1, 2], [1, 2]) } }, /input "w": expected \[2\], got \[1, 2\]/],
        [{ graph, feeds: { x, w: int64([1, 2]) } }, /input "w": expected float32, got int64/],
        [{ graph, feeds: { x }, resident: { w: 'absent' } }, /no tensor called "absent" is resident/],
        [{ graph, feeds: { x, w }, resident: { w: 'held' } }, /input "w" is in feeds and in resident/],
        [{ graph, feeds: { x, w }, fetch: ['z'] }, /no output is called "z"; its outputs are y/],
        [{ graph, feeds: { x, w }, keep: { z: 'z' } }, /no output is called "z"/],
        [{ graph, feeds: { x, w: { ...w, dims: [2], data: new Float32Array(3) } } }, /needs 2 elements, got 3/],
      ];
      for (const [run, message] of refusals) await expectError(engine.run(run), 'run-failed', message);
      expect(await engine.run({ graph, feeds: { x }, resident: { w: 'held' }, fetch: ['y'] })).toEqual({
        y: float32([2, 4, 4, 6], [2, 2]),
      });
    });

    test('a symbolic dimension has one size in a run, and two outputs need two names', async () => {
      await using engine = await under.open();
      const graph = await engine.load(weighted());
      const x = float32([1, 2]);
      await expectError(
        engine.run({ graph, feeds: { x, weight: float32([1]) }, fetch: ['y'] }),
        'run-failed',
        /input "weight": expected \[N\] with N = 2 as in "x", got \[1\]/,
      );
      const outputs = await engine.load(threeOutputs());
      await expectError(
        engine.run({ graph: outputs, feeds: { x }, keep: { first: 'same', second: 'same' } }),
        'run-failed',
        /two outputs are kept under one name/,
      );
    });

    test('a run that fails half way changes no resident tensor', async () => {
      await using engine = await under.open();
      const graph = await engine.load(updateThenGather());
      const start = float32(Array.from({ length: 40_000 }, (_, index) => index % 7));
      await engine.put({ p: start });
      const step = (row: number): Promise<Record<string, Tensor>> =>
        engine.run({
          graph,
          feeds: { row: int64([row]) },
          resident: { p: 'p' },
          keep: { next: 'p', picked: 'picked' },
        });
      await expectError(step(40_001), 'run-failed', /graph update-then-gather/);
      expect((await engine.get(['p']))['p']).toEqual(start);
      await expectError(engine.get(['picked']), 'run-failed', /"picked"/);
      await step(1);
      await step(1);
      const afterTwo = (await engine.get(['p']))['p']!;
      expect(afterTwo.data).toEqual(start.data.map((value) => value + 2));
      await expectError(step(40_001), 'run-failed', /graph update-then-gather/);
      expect((await engine.get(['p', 'picked']))['p']).toEqual(afterTwo);
      await step(2);
      expect((await engine.get(['p']))['p']!.data).toEqual(start.data.map((value) => value + 3));
    });

    test('a run in parts gives what the whole gives, to each part its own rows', async () => {
      await using engine = await under.open();
      const graph = await engine.load(affine());
      await engine.put({ w: float32([10, 20]) });
      const run = engine.begin({ graph, resident: { x: 'absent', w: 'w' }, fetch: ['y'] });
      const refused = run.add({});
      await expectError(run.end(), 'run-failed', /x/);
      await expectError(refused, 'run-failed', /x/);
      const parted = engine.begin({ graph, resident: { w: 'w' }, fetch: ['y'] });
      const x = float32([1, 2, 3, 4, 5, 6], [3, 2]);
      const first = parted.add({ x });
      x.data.fill(0);
      const second = parted.add({ x: float32([7, 8], [1, 2]) });
      expect(await parted.end()).toEqual({});
      expect(await first).toEqual({ y: float32([11, 22, 13, 24, 15, 26], [3, 2]) });
      expect(await second).toEqual({ y: float32([17, 28], [1, 2]) });
      await expectError(engine.begin({ graph, resident: { w: 'w' } }).end(), 'run-failed', /affine/);
      const w = float32([10, 20]);
      const fed = engine.begin({ graph, feeds: { w }, fetch: ['y'] });
      w.data.fill(0);
      const third = fed.add({ x: float32([1, 2], [1, 2]) });
      await fed.end();
      expect([await third, w]).toEqual([{ y: float32([11, 22], [1, 2]) }, float32([0, 0])]);
    });

    test('runAll stops at the run that fails; what ran before it stands', async () => {
      await using engine = await under.open();
      const graph = await engine.load(descent(['p']));
      await engine.put({ p: float32([5, 5]) });
      const step = {
        graph,
        feeds: { gradient_p: float32([1, 2]) },
        resident: { p: 'p' },
        keep: { next_p: 'p' },
        fetch: ['next_p'],
      };
      const results = await engine.runAll([step, step]);
      expect(results.map((result) => [...(result['next_p']!.data as Float32Array)])).toEqual([
        [4, 3],
        [3, 1],
      ]);
      await expectError(engine.runAll([step, { ...step, resident: { p: 'absent' } }, step]), 'run-failed', /absent/);
      expect(await engine.get(['p'])).toEqual({ p: float32([2, -1]) });
      expect(await engine.runAll([])).toEqual([]);
    });

    test('dropped tensors and unloaded graphs are gone; dropping again is no error', async () => {
      await using engine = await under.open();
      await using other = await under.open();
      const graph = await engine.load(identity('float32', 1));
      await engine.put({ a: float32([1]), b: float32([2]) });
      await engine.drop(['a', 'never']);
      await engine.drop(['a']);
      await expectError(engine.get(['b', 'a']), 'run-failed', /"a"/);
      expect(await engine.get(['b'])).toEqual({ b: float32([2]) });
      const feeds = { x: float32([1]) };
      await expectError(other.run({ graph, feeds }), 'run-failed', /not loaded in this engine/);
      await engine.unload(graph);
      await expectError(engine.run({ graph, feeds }), 'run-failed', /not loaded in this engine/);
      await expectError(engine.unload(graph), 'load-failed', /not loaded in this engine/);
    });

    test('a graph that the runtime refuses is refused when it is loaded', async () => {
      await using engine = await under.open();
      const sound = identity('float32', 1);
      const unknown: Graph = { ...sound, nodes: sound.nodes.map((node) => ({ ...node, op: 'Unheard' })) };
      await expectError(engine.load(unknown), 'unsupported-operator', /graph identity.*Unheard/s);
      const broken: Graph = { ...sound, nodes: sound.nodes.map((node) => ({ ...node, inputs: ['nowhere'] })) };
      await expectError(engine.load(broken), 'load-failed', /graph identity/);
      expect(await runs(engine, await engine.load(sound))).toBe(true);
    });

    test('tensors beyond the bound are refused and nothing changes', async () => {
      await using engine = await under.open({ bytesMax: 100_000 });
      const graph = await engine.load(rowSums());
      const block = tensor('float32', [10_000], new Float32Array(10_000));
      await engine.put({ a: block, b: block });
      await engine.put({ a: block });
      await expectError(engine.put({ c: block }), 'run-failed', /needs 40000 bytes more.*100000/);
      const x = tensor('float32', [10_000, 2], new Float32Array(20_000));
      await expectError(engine.run({ graph, feeds: { x }, keep: { sums: 'c' } }), 'run-failed', /kept outputs/);
      await expectError(engine.get(['c']), 'run-failed', /"c"/);
      await engine.drop(['a']);
      await engine.run({ graph, feeds: { x }, keep: { sums: 'c' } });
      expect((await engine.get(['c']))['c']!.dims).toEqual([10_000]);
    });

    test('close lets earlier calls finish, refuses later ones and may be repeated', async () => {
      const engine = await under.open();
      const graph = await engine.load(long());
      const running = engine.run({ graph, feeds: longFeeds(), fetch: ['y'] });
      const got = engine.run({ graph, feeds: longFeeds(1), fetch: ['y'] });
      const closing = engine.close();
      const late = expectError(engine.get([]), 'engine-closed', /closed/);
      expect((await running)['y']!.dims).toEqual([longSize, longSize]);
      expect((await got)['y']!.dims).toEqual([longSize, longSize]);
      await late;
      await closing;
      await engine.close();
      await engine[Symbol.asyncDispose]();
      await expectError(engine.load(rowSums()), 'engine-closed', /closed/);
      await expectError(engine.put({}), 'engine-closed', /closed/);
      await expectError(engine.run({ graph }), 'engine-closed', /closed/);
      await expectError(engine.drop([]), 'engine-closed', /closed/);
    });

    test('two engines that are given the same compute the same bits', async () => {
      const train = async (): Promise<Uint8Array> => {
        await using engine = await under.open();
        const graph = await engine.load(long());
        await engine.put({ w: longFeeds()['a']! });
        for (let step = 0; step < 5; step++)
          await engine.run({ graph, feeds: { a: longFeeds(step)['a']! }, resident: { b: 'w' }, keep: { y: 'w' } });
        return bytesOf((await engine.get(['w']))['w']!);
      };
      const first = await train();
      expect(first.some((byte) => byte !== 0)).toBe(true);
      expect(sameBytes(await train(), first)).toBe(true);
    });

    const why = under.blocks ? ' (skipped: this engine runs on the thread of its caller)' : '';
    test.skipIf(under.blocks)(`the caller goes on while a run takes its time${why}`, async () => {
      await using engine = await under.open();
      const graph = await engine.load(long());
      let ticks = 0;
      const ticking = setInterval(() => ticks++, 1);
      await engine.runAll(Array.from({ length: 12 }, () => ({ graph, feeds: longFeeds() })));
      clearInterval(ticking);
      expect(ticks).toBeGreaterThan(5);
    });
  });
}

const elements: readonly { readonly dtype: DType; readonly data: Tensor['data'] }[] = [
  { dtype: 'float32', data: Float32Array.of(0.1, -0, Infinity) },
  { dtype: 'float64', data: Float64Array.of(0.1, -2, 1e300) },
  { dtype: 'float16', data: Uint16Array.of(0x3c00, 0x0001, 0xfbff) },
  { dtype: 'int8', data: Int8Array.of(-128, 0, 127) },
  { dtype: 'uint8', data: Uint8Array.of(0, 128, 255) },
  { dtype: 'int32', data: Int32Array.of(-1, 0, 2 ** 31 - 1) },
  { dtype: 'int64', data: BigInt64Array.of(-1n, 2n ** 53n + 1n, -(2n ** 63n)) },
  { dtype: 'bool', data: Uint8Array.of(0, 1, 1) },
];

const longSize = 768;

function graphOf(name: string, fill: (builder: GraphBuilder) => void): Graph {
  const builder = new GraphBuilder(name);
  fill(builder);
  return builder.build();
}

function rowSums(): Graph {
  return graphOf('row-sums', (builder) => {
    const x = builder.input('x', 'float32', ['N', 2]);
    const one = builder.constant(float32([1, 1], [2, 1]));
    const column = builder.add('MatMul', [x, one]);
    builder.output(builder.add('Squeeze', [column, builder.integers([1])]), 'sums');
  });
}

function threeOutputs(): Graph {
  return graphOf('three-outputs', (builder) => {
    const x = builder.input('x', 'float32', [2]);
    for (const [index, name] of ['first', 'second', 'third'].entries())
      builder.output(builder.add('Mul', [x, builder.scalar(index + 1)]), name);
  });
}

function identity(dtype: DType, length: number): Graph {
  return graphOf('identity', (builder) => {
    builder.output(builder.add('Identity', [builder.input('x', dtype, [length])]), 'y');
  });
}

/** `next_p = p - gradient_p` for each name, two elements each. */
function descent(names: readonly string[]): Graph {
  return graphOf('descent', (builder) => {
    for (const name of names) {
      const value = builder.input(name, 'float32', [2]);
      const gradient = builder.input(`gradient_${name}`, 'float32', [2]);
      builder.output(builder.add('Sub', [value, gradient]), `next_${name}`);
    }
  });
}

/** `next = p / 2`, and only then `product = p · next`. */
function readTwice(length: number): Graph {
  return graphOf('read-twice', (builder) => {
    const p = builder.input('p', 'float32', [length]);
    const next = builder.add('Mul', [p, builder.scalar(0.5)], {}, { output: 'next' });
    builder.output(next);
    builder.output(builder.add('Mul', [p, next]), 'product');
  });
}

function affine(): Graph {
  return graphOf('affine', (builder) => {
    const x = builder.input('x', 'float32', ['N', 2]);
    builder.output(builder.add('Add', [x, builder.input('w', 'float32', [2])]), 'y');
  });
}

function weighted(): Graph {
  return graphOf('weighted', (builder) => {
    const x = builder.input('x', 'float32', ['N']);
    builder.output(builder.add('Mul', [x, builder.input('weight', 'float32', ['N'])]), 'y');
  });
}

/** `next = p + 1`, then an element of it by an index that may be out of range. */
function updateThenGather(): Graph {
  return graphOf('update-then-gather', (builder) => {
    const p = builder.input('p', 'float32', [40_000]);
    const row = builder.input('row', 'int64', [1]);
    const next = builder.add('Add', [p, builder.scalar(1)], {}, { output: 'next' });
    builder.output(next);
    builder.output(builder.add('Gather', [next, row]), 'picked');
  });
}

/** Eight products of large matrices in a row, kept in range by Tanh. */
function long(): Graph {
  return graphOf('long', (builder) => {
    const a = builder.input('a', 'float32', [longSize, longSize]);
    let value = builder.input('b', 'float32', [longSize, longSize]);
    for (let repeat = 0; repeat < 8; repeat++) value = builder.add('Tanh', [builder.add('MatMul', [value, a])]);
    builder.output(value, 'y');
  });
}

function longFeeds(seed = 0): Record<string, Tensor> {
  const values = Float32Array.from({ length: longSize ** 2 }, (_, index) => ((index * 37 + seed * 11) % 101) / 1500);
  const matrix = tensor('float32', [longSize, longSize], values);
  return { a: matrix, b: matrix };
}

/** As `toEqual`, which takes seconds over millions of elements. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

async function runs(engine: Engine, graph: LoadedGraph): Promise<boolean> {
  const { y } = await engine.run({ graph, feeds: { x: float32([3]) }, fetch: ['y'] });
  return y?.data[0] === 3;
}

async function expectError(call: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EngineError);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
}
