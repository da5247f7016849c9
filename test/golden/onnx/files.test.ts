// The files that make.py wrote with PyTorch and Python's onnx package.

import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../../../src/base/index.ts';
import {
  bindDims,
  type Graph,
  operatorName,
  OPSET,
  readModel,
  upgrade,
  validate,
  writeModel,
} from '../../../src/onnx/index.ts';

const bytesOfFile = (name: string): Promise<Uint8Array> => readFile(new URL(`${name}.onnx`, import.meta.url));

interface Golden {
  readonly x: readonly number[];
  readonly dims: readonly number[];
  readonly y: readonly number[];
}
const golden = JSON.parse(await readFile(new URL('golden.json', import.meta.url), 'utf8')) as Record<string, Golden>;

async function run(graph: Graph, x: readonly number[], dims: readonly number[]): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(writeModel(graph), { logSeverityLevel: 3 });
  const { y } = await session.run({ x: new ort.Tensor('float32', Float32Array.from(x), dims) });
  await session.release();
  if (!y) throw new Error('no output y');
  return y;
}

describe('networks that PyTorch exported', () => {
  for (const [name, { x, dims, y }] of Object.entries(golden)) {
    it(`${name}: read, bound to N, brought to operator set ${OPSET}, checked and run gives PyTorch's numbers`, async () => {
      const graph = upgrade(bindDims(readModel(await bytesOfFile(name)), { batch: 'N' }));
      validate(graph);
      expect(graph.opsets['']).toBe(OPSET);
      expect(graph.inputs.map((input) => input.dims)).toEqual([['N', 2, 8, 8]]);
      expect(graph.outputs).toEqual([{ name: 'y', dtype: 'float32', dims: ['N', 2] }]);
      expect(graph.nodes.map(operatorName)).not.toContain('Constant');
      const got = await run(graph, x, dims);
      expect(got.dims).toEqual([3, 2]);
      (got.data as Float32Array).forEach((value, index) => expect(value).toBeCloseTo(y[index] ?? NaN, 5));
    });
  }

  it('cannot have its batch bound to a size that a reshape contradicts', async () => {
    const graph = readModel(await bytesOfFile('pytorch-17'));
    expect(() => bindDims(graph, { batch: 0.5 })).toThrow(EngineError);
  });
});

describe('tensors of a file', () => {
  it('are the same in typed fields and as raw data, for every element type', async () => {
    const graph = readModel(await bytesOfFile('typed'));
    const names = [...graph.initializers.keys()].filter((name) => name.startsWith('typed_'));
    expect(names).toHaveLength(12);
    for (const name of names) {
      const value = graph.initializers.get(name);
      expect(value).toEqual(graph.initializers.get(name.replace('typed', 'raw')));
      expect(value?.dims).toEqual([2, 3]);
    }
    expect(graph.initializers.get('raw_INT64')?.data).toEqual(BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 100n));
    expect(graph.initializers.get('raw_BOOL')?.data).toEqual(Uint8Array.of(1, 0, 1, 1, 0, 1));
    expect(graph.initializers.get('raw_FLOAT16')?.data.at(-1)).toBe(0x5640);
  });

  it('that are initializers and inputs are initializers only; what has no name or shape gets one', async () => {
    const graph = readModel(await bytesOfFile('typed'));
    expect(graph.inputs).toEqual([{ name: 'x', dtype: 'float32', dims: ['x_0', 2, 3] }]);
    expect(graph.outputs).toEqual([{ name: 'y', dtype: 'float32', dims: ['x_0', 2, 3] }]);
    expect(graph.nodes.map(({ name }) => name)).toEqual(['Constant_0', 'Mul_1', 'Pow_2']);
    expect(graph.metadata).toEqual({ from: 'python' });
    const y = await run(upgrade(graph), [1, 2, 3, 4, 5, 6], [1, 2, 3]);
    expect(Array.from(y.data as Float32Array)).toEqual([0, 4, 36, 144, 400, 360_000]);
  });
});

describe('files that are refused', () => {
  const refusals = [
    ['bfloat16', /initializer "w" has the element type bfloat16/],
    ['external', /initializer "w" keeps its data in another file/],
    ['nested', /node If_0 \(If\): attribute "(then|else)_branch" holds a graph/],
    ['old', /operator set 9; Septum reads 11 to 23/],
  ] as const;
  for (const [name, message] of refusals) {
    it(`${name}: ${message.source}`, async () => {
      const bytes = await bytesOfFile(name);
      expect(() => readModel(bytes)).toThrow(message);
      expect(() => readModel(bytes)).toThrow(expect.objectContaining({ name: 'EngineError', code: 'bad-model-file' }));
    });
  }

  it('limits on nodes, values, dimensions and weights hold', async () => {
    const bytes = await bytesOfFile('pytorch-17');
    expect(() => readModel(bytes, { nodesMax: 10 })).toThrow(/nodes; at most 10/);
    expect(() => readModel(bytes, { valuesMax: 3 })).toThrow(/more than 3/);
    expect(() => readModel(bytes, { rankMax: 3 })).toThrow(/4 dimensions; at most 3/);
    expect(() => readModel(bytes, { weightBytesMax: 1000 })).toThrow(/more than 1000 bytes of weights/);
  });

  it('changed bytes give a graph or an EngineError, and nothing else', async () => {
    const files = await Promise.all(['pytorch-11', 'pytorch-17', 'typed', 'nested', 'external'].map(bytesOfFile));
    const at = fc.nat(20_000);
    const byte = fc.integer({ min: 0, max: 255 });
    const set = fc.record({ kind: fc.constant('set'), at, byte });
    const any = fc.record({ kind: fc.constantFrom('set', 'insert', 'remove', 'cut'), at, byte });
    let read = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.oneof(fc.array(set, { minLength: 1, maxLength: 2 }), fc.array(any, { minLength: 1, maxLength: 6 })),
        (file, changes) => {
          const bytes = Array.from(file);
          for (const { kind, at, byte } of changes) {
            const place = at % bytes.length;
            if (kind === 'set') bytes[place] = byte;
            else if (kind === 'insert') bytes.splice(place, 0, byte);
            else if (kind === 'remove') bytes.splice(place, 1);
            else if (place > 0) bytes.length = place;
          }
          try {
            const graph = readModel(Uint8Array.from(bytes));
            read += 1;
            validate(upgrade(graph));
          } catch (error) {
            if (!(error instanceof EngineError)) throw error;
            refused += 1;
          }
        },
      ),
      { numRuns: 2000, seed: 3 },
    );
    expect(read).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(500);
  });

  it('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => readModel(bytes)).toThrow(EngineError);
      }),
      { numRuns: 1000, seed: 4 },
    );
  });
});
