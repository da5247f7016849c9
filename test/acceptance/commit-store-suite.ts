// What every commit store must do. Each is run through this suite by store.test.ts.

import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { ConfigError, DataError } from '../../src/base/index.ts';
import { bytesOf, float32, int64, tensor, type Tensor } from '../../src/tensor/index.ts';
import type { Commit, CommitStore, Json } from '../../src/store/index.ts';

export function commitStoreSuite(name: string, open: () => Promise<CommitStore>): void {
  describe(`${name} commit store`, () => {
    test('gives back what was written, every dtype and shape to the bit', async () => {
      const store = await open();
      const commit: Commit = {
        index: 7,
        meta: { epoch: 3, best: null, history: [0.1, 1e-300, 5e-324, 12345678901234], site: 'ä "quoted" \n' },
        tensors: {
          weights: float32([1.5, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-40, 6], [2, 3]),
          steps: int64([9007199254740991]),
          half: tensor('float16', [1], new Uint16Array([0x3c00])),
          mask: tensor('bool', [3, 1], new Uint8Array([1, 0, 1])),
          moments: tensor('float64', [], new Float64Array([Math.PI])),
          empty: tensor('float32', [0, 4], new Float32Array(0)),
          ['__proto__']: tensor('int8', [2], new Int8Array([-128, 127])),
        },
      };
      await store.write('site-1', commit);
      const { commit: found, problems } = await store.latest('site-1');
      expect(problems).toEqual([]);
      expectSameCommit(found, commit);
      expectSameCommit(await store.read('site-1', 7), commit);
    });

    test('gives back any commit', async () => {
      const store = await open();
      let index = 0;
      await fc.assert(
        fc.asyncProperty(arbitraryTensors, fc.jsonValue(), async (tensors, meta) => {
          index += 1;
          // JSON has no -0, and stores refuse it.
          const commit = { index, meta: JSON.parse(JSON.stringify(meta)) as Json, tensors };
          await store.write('any', commit);
          expectSameCommit((await store.latest('any')).commit, commit);
        }),
        { numRuns: 40, seed: 5 },
      );
    });

    test('keeps the newest commit and the one before, for each name apart', async () => {
      const store = await open();
      for (const index of [0, 3, 4, 9]) await store.write('server', commitOf(index));
      await store.write('server.old', commitOf(1));
      expect(await store.list('server')).toEqual([4, 9]);
      expect(await store.list('server.old')).toEqual([1]);
      expect(await store.list('nobody')).toEqual([]);
      expect(await store.latest('nobody')).toEqual({ commit: undefined, problems: [] });
      expectSameCommit(await store.read('server', 4), commitOf(4));
      expect(await store.read('server', 3)).toBeUndefined();
    });

    test('after going back, the abandoned commits are not found again', async () => {
      const store = await open();
      await store.write('server', commitOf(5));
      await store.write('server', commitOf(6));
      const again = { ...commitOf(6), meta: 'second course' };
      await store.write('server', again);
      expectSameCommit((await store.latest('server')).commit, again);
      await store.write('server', commitOf(2));
      expect(await store.list('server')).toEqual([2]);
    });

    test('writes of one name at once take effect in order', async () => {
      const store = await open();
      await Promise.all([1, 2, 3, 4, 5].map((index) => store.write('server', commitOf(index))));
      expect(await store.list('server')).toEqual([4, 5]);
      expectSameCommit((await store.latest('server')).commit, commitOf(5));
    });

    test('what is written and what is read are nobody else’s', async () => {
      const store = await open();
      const weights = float32([1, 2, 3]);
      await store.write('server', { index: 1, meta: null, tensors: { weights } });
      weights.data.fill(9);
      const first = (await store.latest('server')).commit!;
      first.tensors['weights']!.data.fill(8 as never);
      expectSameCommit(await store.read('server', 1), {
        index: 1,
        meta: null,
        tensors: { weights: float32([1, 2, 3]) },
      });
    });

    test('refuses meta that JSON would change, and keeps the commit before', async () => {
      const store = await open();
      await store.write('server', commitOf(1));
      for (const bad of [{ loss: Number.NaN }, [Infinity], { at: undefined }, { big: 1n }, new Date(0), -0]) {
        const error = await store
          .write('server', { ...commitOf(2), meta: bad as unknown as Json })
          .catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(DataError);
        expect((error as DataError).message).toContain('$');
      }
      expectSameCommit((await store.latest('server')).commit, commitOf(1));
    });

    test.each(['', '.hidden', '../up', 'a/b', 'a\\b', 'a b', '-x', 'x'.repeat(65), 'nul\0'])(
      'refuses the name %j',
      async (bad) => {
        const store = await open();
        await expect(store.write(bad, commitOf(1))).rejects.toThrow(ConfigError);
        await expect(store.latest(bad)).rejects.toThrow(ConfigError);
        await expect(store.read(bad, 1)).rejects.toThrow(ConfigError);
      },
    );
  });
}

/** A small commit that depends on its index. */
export function commitOf(index: number): Commit {
  return {
    index,
    meta: { epoch: index },
    tensors: {
      bias: float32([index]),
      weights: float32(
        Array.from({ length: 100 }, (_, at) => at * index),
        [10, 10],
      ),
    },
  };
}

export function expectSameCommit(actual: Commit | undefined, expected: Commit): void {
  expect(actual?.index).toBe(expected.index);
  expect(actual?.meta).toEqual(expected.meta);
  expect(Object.keys(actual!.tensors)).toEqual(Object.keys(expected.tensors));
  for (const [name, wanted] of Object.entries(expected.tensors)) {
    const found = actual!.tensors[name]!;
    expect([name, found.dtype, found.dims]).toEqual([name, wanted.dtype, wanted.dims]);
    expect(found.data.constructor).toBe(wanted.data.constructor);
    expect(Buffer.compare(bytesOf(found), bytesOf(wanted))).toBe(0);
  }
}

const arbitraryTensors: fc.Arbitrary<Record<string, Tensor>> = fc.dictionary(
  fc.string({ minLength: 1, maxLength: 20 }),
  fc.oneof(
    fc.float32Array({ maxLength: 200 }).map((data) => tensor('float32', [data.length], data)),
    fc.uint8Array({ maxLength: 70 }).map((data) => tensor('uint8', [1, data.length], data)),
    fc.bigInt64Array({ maxLength: 9 }).map((data) => tensor('int64', [data.length], data)),
  ),
  { maxKeys: 6 },
);
