// A core that is handed lowered files: which of the two forms runs, when a lowered one is refused, and what is counted.

import { describe, expect, test } from 'vitest';
import { conv, maxPool, relu, stepGraph } from '../../../test/lowering/network.ts';
import { blockHere } from '../../../test/lowering/runtime.ts';
import { expectNear, fetchAll, tensors } from '../../../test/lowering/tensors.ts';
import { type InUnits, inUnits, lowerToBlocks } from '../../lower/index.ts';
import { builderOf, type Graph, GraphBuilder, int, writeModel } from '../../onnx/index.ts';
import { float32, int64, type Tensor, zeros } from '../../tensor/index.ts';
import type { Channel } from './channel.ts';
import { InlineChannel } from './inline-channel.ts';
import type { CoreSettings, GraphFile, LoweredFile, Reply, Request } from './messages.ts';
import { NodeEngine } from './node-engine.ts';
import { SessionCore } from './session-core.ts';
import { fillRandom } from './trial.ts';

const block = await blockHere();
const settings: CoreSettings = { provider: 'cpu', threads: 1, spinning: false, optimization: 'all', bytesMax: 1e9 };

/** y = factor·x, for x [N, 3]. */
function scaled(factor: number): Graph {
  const builder = new GraphBuilder('scaled');
  builder.output(builder.add('Mul', [builder.input('x', 'float32', ['N', 3]), builder.scalar(factor)]), 'y');
  return builder.build();
}

/** y = x, but 2·x where the first record's value in a column has this sign; for 0 everywhere. */
function wrongWhere(column: number, sign: number): Graph {
  const builder = new GraphBuilder('scaled');
  const x = builder.input('x', 'float32', ['N', 3]);
  const picked = builder.add('Gather', [
    builder.add('Gather', [x, builder.constant(int64([0], []))]),
    builder.constant(int64([column])),
  ]);
  const signed = builder.add('Mul', [picked, builder.scalar(sign)]);
  const differs = builder.add(sign === 0 ? 'Equal' : 'Greater', [signed, builder.scalar(0)]);
  const factor = builder.add('Where', [differs, builder.scalar(2), builder.scalar(1)]);
  builder.output(builder.add('Mul', [x, factor]), 'y');
  return builder.build();
}

function fileOf(graph: Graph, lowered?: LoweredFile): GraphFile {
  const { name, inputs, outputs } = graph;
  return { id: 1, name, bytes: writeModel(graph), inputs, outputs, optional: [], lowered };
}

const order = (feeds: Record<string, Tensor>, fetch: string[], keep: Record<string, string> = {}) =>
  ({ graphId: 1, graphName: 'scaled', feeds, resident: {}, keep, fetch }) as const;

/** What `scaled` gives for so many records of ones, divided by what it was given. */
function factorOf(core: SessionCore, records: number): number[] {
  const x = float32(new Float32Array(3 * records).fill(1), [records, 3]);
  const { y } = core.run(order({ x }, ['y']));
  expect(y?.dims).toEqual([records, 3]);
  return [...new Set(y?.data as Float32Array)];
}

describe('a lowered file', () => {
  // So little that it passes for rounding, and enough to see which of the two ran.
  const near = writeModel(scaled(1 + 2 ** -7));

  test('runs where it takes the batch, the graph as it is elsewhere', () => {
    const core = new SessionCore(settings);
    expect(core.load(fileOf(scaled(1), { bytes: near, recordsMultiple: 4, paddable: false }))).toBeUndefined();
    expect(factorOf(core, 8)).toEqual([1 + 2 ** -7]);
    expect(factorOf(core, 5)).toEqual([1]);
    expect(factorOf(core, 4)).toEqual([1 + 2 ** -7]);
    core.close();
  });

  test('runs on any batch where records may be added, and nothing of them is seen', () => {
    const core = new SessionCore(settings);
    expect(core.load(fileOf(scaled(1), { bytes: near, recordsMultiple: 4, paddable: true }))).toBeUndefined();
    for (const records of [1, 3, 4, 5, 8]) expect(factorOf(core, records)).toEqual([1 + 2 ** -7]);
    const x = float32([1, 2, 3], [1, 3]);
    core.run(order({ x }, [], { y: 'kept' }));
    expect(core.get(['kept'])).toEqual({ kept: float32([1.0078125, 2.015625, 3.0234375], [1, 3]) });
    core.close();
  });

  test('goes on from the parameters that the run before kept, large ones too, padded or not', () => {
    const counting = (factor: number): Graph => {
      const builder = builderOf(scaled(factor));
      builder.output('y');
      builder.output(builder.add('Add', [builder.input('p', 'float32', [20_000]), builder.scalar(factor)]), 'p.next');
      return builder.build();
    };
    const core = new SessionCore(settings);
    const form = { bytes: writeModel(counting(1 + 2 ** -7)), recordsMultiple: 4, paddable: true };
    expect(core.load(fileOf(counting(1), form))).toBeUndefined();
    core.put({ p: zeros('float32', [20_000]) });
    for (let step = 1; step <= 8; step++) {
      const records = step === 5 ? 8 : 3;
      const x = float32(new Float32Array(3 * records), [records, 3]);
      core.run({ ...order({ x }, ['y'], { 'p.next': 'p' }), resident: { p: 'p' } });
      expect([...new Set(core.get(['p'])['p']?.data as Float32Array)]).toEqual([step * (1 + 2 ** -7)]);
    }
    core.close();
  });

  test('an empty batch gives what the graph as it is gives', () => {
    for (const paddable of [false, true]) {
      const core = new SessionCore(settings);
      core.load(fileOf(scaled(1), { bytes: near, recordsMultiple: 4, paddable }));
      const results = core.run(order({ x: float32([], [0, 3]) }, ['y']));
      expect(results).toEqual({ y: float32([], [0, 3]) });
      core.close();
    }
  });

  test.each<[string, () => Uint8Array<ArrayBuffer>, RegExp]>([
    ['that computes something else', () => writeModel(scaled(1.1)), /another y: relative difference 0\.10, at most/],
    ['that computes no numbers', () => writeModel(scaled(Number.NaN)), /another y: relative difference NaN/],
    ['whose operator does not exist', () => writeModel(unknownOperator()), /Nowhere/],
    ['that is no file', () => Uint8Array.of(1, 2, 3), /could not load it/],
  ])('%s is refused with a reason, and the graph runs as it is', async (_, bytes, reason) => {
    const refusals: [string, string][] = [];
    const engine = new NodeEngine(
      { runtime: 'test', version: '0', provider: 'cpu', threads: 1, workers: 1, lowering: 'none', optimization: 'all' },
      new Exchanging({ bytes: bytes(), recordsMultiple: 1, paddable: true }),
      { onRefusal: (graph, why) => void refusals.push([graph, why]) },
    );
    const graph = await engine.load(scaled(1));
    expect(refusals).toEqual([['scaled', expect.stringMatching(reason)]]);
    const x = float32([1, 2, 3], [1, 3]);
    expect(await engine.run({ graph, feeds: { x }, fetch: ['y'] })).toEqual({ y: x });
    await engine.close();
  });

  test('is not held against a graph that cannot run on random values: the graph runs as it is', () => {
    const builder = new GraphBuilder('scaled');
    const inputs = [builder.input('x', 'float32', ['N', 3]), builder.input('shape', 'int64', [2])];
    const type = { dtype: 'float32', dims: ['rows', 'columns'] } as const;
    builder.addTyped({ op: 'Expand', domain: '', inputs, outputs: ['y'], attributes: {} }, [type]);
    builder.output('y');
    const graph = builder.build();
    const core = new SessionCore(settings);
    const refusal = core.load(fileOf(graph, { bytes: near, recordsMultiple: 1, paddable: false }));
    expect(refusal).toMatch(/Expand/);
    const shape: Tensor = { dtype: 'int64', dims: [2], data: BigInt64Array.of(2n, 3n) };
    const results = core.run(order({ x: float32([1, 2, 3], [1, 3]), shape }, ['y']));
    expect(results).toEqual({ y: float32([1, 2, 3, 1, 2, 3], [2, 3]) });
    core.close();
  });

  test('is tried on other values before it is refused: rounding decides something once, an error is there again', () => {
    const sign = (seed: number, index: number): number => {
      const drawn = new Float32Array(3);
      fillRandom(drawn, -1, 1, [seed, 0]);
      return Math.sign(drawn[index]!);
    };
    const column = [0, 1, 2].find((index) => sign(1, index) !== sign(2, index))!;
    for (const [differs, refusal] of [
      [sign(1, column), undefined],
      [sign(2, column), undefined],
      [0, /another y/],
    ] as const) {
      const core = new SessionCore(settings);
      const bytes = writeModel(wrongWhere(column, differs));
      const said = core.load(fileOf(scaled(1), { bytes, recordsMultiple: 1, paddable: true }));
      if (refusal) expect(said).toMatch(refusal);
      else expect(said).toBeUndefined();
      core.close();
    }
  });

  test('counts towards what the engine may hold while it is loaded', () => {
    const form: LoweredFile = { bytes: near, recordsMultiple: 4, paddable: true };
    const file = fileOf(scaled(1), form);
    const bytesMax = file.bytes.byteLength + near.byteLength;
    const core = new SessionCore({ ...settings, bytesMax });
    for (let time = 0; time < 3; time++) {
      core.load(file);
      expect(() => core.put({ a: float32([1]) })).toThrow(/needs 4 bytes more, but the engine holds/);
      core.unload(1, 'scaled');
    }
    core.put({ a: float32(new Float32Array((bytesMax / 4) | 0)) });
    expect(() => core.load(file)).toThrow(expect.objectContaining({ code: 'load-failed' }));
    core.close();
  });
});

describe.skipIf(block === undefined)('units of records (only where ONNX Runtime has blocked kernels)', () => {
  test('add up to the step on the whole batch', () => {
    const graph = stepGraph({ input: [3, 8, 8], layers: [conv(16), relu, maxPool, conv(32), relu, maxPool] });
    const parts = inUnits(graph)!;
    const lowered = lowerToBlocks(parts.records, block!)!;
    const form = inUnitsOf16(parts, lowered.graph, lowered.recordsMultiple);
    const [inParts, whole] = [new SessionCore(settings), new SessionCore(settings)];
    expect(inParts.load(fileOf(graph, form))).toBeUndefined();
    whole.load(fileOf(graph));
    for (const records of [5, 16, 0, 21, 40]) {
      const run = order(tensors(graph, records), fetchAll(graph));
      expectNear(inParts.run(run), whole.run(run));
      const part = order(tensors(graph, records), ['y'], { 'p0.next': 'p0' });
      expectNear(inParts.run(part), whole.run(part));
      expectNear(inParts.get(['p0']), whole.get(['p0']));
    }
    inParts.close();
    whole.close();
  });
});

test('units of a graph that takes a mean over records, not a sum, are refused', () => {
  const meanOrSum = (op: 'ReduceMean' | 'ReduceSum'): Graph => {
    const builder = new GraphBuilder('scaled');
    const inputs = [builder.input('x', 'float32', ['N', 3]), builder.integers([0])];
    const over = builder.add(op, inputs, { keepdims: int(0) });
    builder.output(builder.add('Sub', [builder.input('p', 'float32', [3]), over]), 'p.next');
    return builder.build();
  };
  for (const [op, refusal] of [
    ['ReduceMean', expect.stringMatching(/another p\.next/)],
    ['ReduceSum', undefined],
  ] as const) {
    const core = new SessionCore(settings);
    const parts = inUnits(meanOrSum(op))!;
    expect(core.load(fileOf(meanOrSum(op), inUnitsOf16(parts, parts.records, 1)))).toEqual(refusal);
    core.close();
  }
});

function inUnitsOf16({ records, rest, sums }: InUnits, lowered: Graph, recordsMultiple: number): LoweredFile {
  const names = (values: readonly { readonly name: string }[]): string[] => values.map(({ name }) => name);
  const units = {
    records: 16,
    spread: false,
    inputs: names(records.inputs),
    prepareInputs: [],
    sums: names(sums),
    rest: writeModel(rest),
    restInputs: names(rest.inputs),
  };
  return { bytes: writeModel(lowered), recordsMultiple, paddable: true, units };
}

function unknownOperator(): Graph {
  const builder = new GraphBuilder('scaled');
  builder.useOpset('com.microsoft.nchwc', 1);
  const node = { op: 'Nowhere', domain: 'com.microsoft.nchwc', attributes: {} };
  const type = { dtype: 'float32', dims: ['N', 3] } as const;
  const inputs = [builder.input('x', 'float32', ['N', 3])];
  builder.addTyped({ ...node, inputs, outputs: ['y'] }, [type]);
  builder.output('y');
  return builder.build();
}

/** A core in this thread that gets another lowered file than the engine sent. */
class Exchanging implements Channel {
  readonly #inner = new InlineChannel(settings);
  readonly #lowered: LoweredFile;

  constructor(lowered: LoweredFile) {
    this.#lowered = lowered;
  }

  send(request: Request): Promise<Reply> {
    if (request.kind !== 'load') return this.#inner.send(request);
    return this.#inner.send({ ...request, file: { ...request.file, lowered: this.#lowered } });
  }

  ended(): Promise<void> {
    return this.#inner.ended();
  }
}
