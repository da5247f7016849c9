// What every activation store must do. Each is run through this suite by store.test.ts.

import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { ConfigError, DataError } from '../../src/base/index.ts';
import { tensor } from '../../src/tensor/index.ts';
import type { ActivationChunk, ActivationStore, SectionKey } from '../../src/store/index.ts';

export const train: SectionKey = { site: 'site-1', part: 'train', pass: 0 };

/** A chunk of `[rows, 3, 2]` whose numbers tell its section, index, row and column. */
export function chunkOf(key: SectionKey, index: number, rows: number): ActivationChunk {
  const seed = key.site.length * 1000 + key.pass * 100 + index * 10;
  return {
    ...key,
    index,
    activations: tensor(
      'float32',
      [rows, 3, 2],
      new Float32Array(rows * 6).map((_, at) => seed + at / 8),
    ),
    labels: new Float64Array(rows).map((_, row) => seed + row / 3),
    groups: new Int32Array(rows).map((_, row) => index * 1000 + row),
  };
}

export function activationStoreSuite(
  name: string,
  open: (rowDims: readonly number[]) => Promise<ActivationStore>,
): void {
  describe(`${name} activation store`, () => {
    test('gives back rows of any sections in any order', async () => {
      await using store = await open([3, 2]);
      const rows = new Map<string, Float32Array>();
      const picks: { section: SectionKey; row: number }[] = [];
      for (const site of ['b', 'a-long-name'])
        for (const [part, pass] of [
          ['train', 0],
          ['train', 1],
          ['test', 0],
        ] as const) {
          const key: SectionKey = { site, part, pass };
          let row = 0;
          for (const [index, count] of [5, 1, 8].entries()) {
            const chunk = chunkOf(key, index, count);
            await store.append(chunk);
            for (let at = 0; at < count; at += 1, row += 1) {
              rows.set(`${site}.${part}.${pass}.${row}`, chunk.activations.data.slice(at * 6, at * 6 + 6));
              picks.push({ section: key, row });
            }
          }
        }
      await fc.assert(
        fc.asyncProperty(fc.shuffledSubarray(picks), fc.shuffledSubarray(picks), async (first, second) => {
          // Rows may come twice in a batch.
          const wanted = [...first, ...second];
          const read = await store.read(wanted);
          expect(read.dtype).toBe('float32');
          expect(read.dims).toEqual([wanted.length, 3, 2]);
          wanted.forEach(({ section, row }, at) => {
            const expected = rows.get(`${section.site}.${section.part}.${section.pass}.${row}`);
            expect(read.data.subarray(at * 6, at * 6 + 6)).toEqual(expected);
          });
        }),
        { numRuns: 40, seed: 3 },
      );
      const ordered = await store.read(picks);
      expect(ordered.data.subarray(0, 6)).toEqual(rows.get('b.train.0.0'));
      expect(ordered.data.byteLength).toBe(picks.length * 24);
    });

    test('rows appended after a read are found', async () => {
      await using store = await open([3, 2]);
      await store.append(chunkOf(train, 0, 2));
      await store.read([{ section: train, row: 1 }]);
      await store.append(chunkOf(train, 1, 2));
      const read = await store.read([3, 0].map((row) => ({ section: train, row })));
      expect([...read.data.subarray(0, 6)]).toEqual([...chunkOf(train, 1, 2).activations.data.subarray(6)]);
      expect([...read.data.subarray(6)]).toEqual([...chunkOf(train, 0, 2).activations.data.subarray(0, 6)]);
    });

    test('tells what has arrived, with labels and groups in order', async () => {
      await using store = await open([3, 2]);
      expect(store.sections()).toEqual([]);
      expect(store.section(train)).toEqual({
        ...train,
        chunkCount: 0,
        rowCount: 0,
        labels: new Float64Array(0),
        groups: new Int32Array(0),
      });
      const [first, second] = [chunkOf(train, 0, 3), chunkOf(train, 1, 2)];
      await store.append(first);
      await store.append(second);
      expect(store.section(train)).toEqual({
        ...train,
        chunkCount: 2,
        rowCount: 5,
        labels: new Float64Array([...first.labels, ...second.labels]),
        groups: new Int32Array([...first.groups, ...second.groups]),
      });
      for (const [site, part, pass] of [
        ['site-1', 'test', 0],
        ['site-1', 'val', 0],
        ['site-1', 'train', 10],
        ['site-1', 'train', 9],
        ['Site-0', 'val', 0],
      ] as const)
        await store.append(chunkOf({ site, part, pass }, 0, 1));
      expect(store.sections().map(({ site, part, pass }) => `${site} ${part} ${pass}`)).toEqual([
        'Site-0 val 0',
        'site-1 train 0',
        'site-1 train 9',
        'site-1 train 10',
        'site-1 val 0',
        'site-1 test 0',
      ]);
    });

    test('a chunk sent again is accepted and counts once; another content under its index is refused', async () => {
      await using store = await open([3, 2]);
      const chunk = chunkOf(train, 0, 4);
      await store.append(chunk);
      await store.append(chunkOf(train, 1, 4));
      await store.append(chunkOf(train, 0, 4));
      expect(store.section(train).rowCount).toBe(8);
      const others: ActivationChunk[] = [
        {
          ...chunk,
          activations: { ...chunk.activations, data: chunk.activations.data.map((x, at) => (at === 7 ? -x : x)) },
        },
        { ...chunk, labels: chunk.labels.map((label, at) => (at === 3 ? label + 1 : label)) },
        { ...chunk, groups: chunk.groups.map((group, at) => (at === 0 ? group + 1 : group)) },
        chunkOf(train, 0, 3),
      ];
      for (const other of others)
        await expectDataError(store.append(other), /chunk 0 of site-1\.train\.0 is there already/);
      expect(store.section(train).labels.slice(0, 4)).toEqual(chunk.labels);
    });

    test('the same chunk sent twice at once counts once', async () => {
      await using store = await open([3, 2]);
      await Promise.all([0, 0, 1, 0, 1].map((index) => store.append(chunkOf(train, index, 2))));
      expect(store.section(train).chunkCount).toBe(2);
    });

    test('a chunk out of turn is refused', async () => {
      await using store = await open([3, 2]);
      await expectDataError(store.append(chunkOf(train, 1, 2)), /chunk 0 must come first/);
    });

    test('a sealed site takes nothing more, but what it has is accepted again', async () => {
      await using store = await open([3, 2]);
      await store.append(chunkOf(train, 0, 2));
      expect(store.isSealed('site-1')).toBe(false);
      await store.seal('site-1');
      await store.seal('site-1');
      expect(store.isSealed('site-1')).toBe(true);
      expect(store.isSealed('site-2')).toBe(false);
      await store.append(chunkOf(train, 0, 2));
      await expectDataError(store.append(chunkOf(train, 1, 2)), /has declared its upload complete/);
      await store.append(chunkOf({ ...train, site: 'site-2' }, 0, 2));
    });

    test('a site that is removed is gone, another stays, and it may begin again', async () => {
      await using store = await open([3, 2]);
      const other: SectionKey = { ...train, site: 'site-2' };
      for (const key of [train, { ...train, pass: 1 }, other]) await store.append(chunkOf(key, 0, 4));
      for (const site of ['site-1', 'site-2']) await store.seal(site);
      const picks = [{ section: other, row: 3 }];
      const before = await store.read([{ section: train, row: 0 }, ...picks]);
      await store.remove('site-1');
      await store.remove('site-1');
      expect(store.sections().map(({ site }) => site)).toEqual(['site-2']);
      expect([store.isSealed('site-1'), store.isSealed('site-2')]).toEqual([false, true]);
      await expect(store.read([{ section: train, row: 0 }])).rejects.toMatchObject({ code: 'missing-data' });
      expect((await store.read(picks)).data).toEqual(before.data.slice(6));
      await store.append(chunkOf(train, 0, 2));
      expect(store.section(train)).toMatchObject({ chunkCount: 1, rowCount: 2 });
    });

    test('what does not fit is refused, with all that is wrong with it', async () => {
      await using store = await open([3, 2]);
      const chunk = chunkOf(train, 0, 2);
      const labels = new Float64Array([1, Number.NaN]);
      const bad: [Partial<Record<keyof ActivationChunk, unknown>>, RegExp][] = [
        [{ activations: tensor('float32', [2, 6], new Float32Array(12)) }, /expected float32 rows of \[3, 2\]/],
        [{ activations: tensor('float64', [2, 3, 2], new Float64Array(12)) }, /got float64/],
        [{ activations: tensor('float32', [0, 3, 2], new Float32Array(0)) }, /no rows/],
        [{ labels: new Float64Array(3) }, /2 rows have 3 labels and 2 groups/],
        [{ groups: new Int32Array(1) }, /2 labels and 1 groups/],
        [{ labels }, /label 1 is NaN/],
        [{ index: -1 }, /index -1/],
        [{ pass: 0.5 }, /0.5 is not a pass/],
        [{ part: 'holdout' }, /"holdout" is not a part/],
        [{ labels, groups: new Int32Array(5), index: 1.5 }, /index 1.5[^]*5 groups[^]*label 1 is NaN/],
      ];
      for (const [change, message] of bad)
        await expectDataError(store.append({ ...chunk, ...change } as ActivationChunk), message);
      await expect(store.append({ ...chunk, site: '../x' })).rejects.toThrow(ConfigError);
      expect(store.sections()).toEqual([]);
    });

    test('a row that is not there is refused', async () => {
      await using store = await open([3, 2]);
      await store.append(chunkOf(train, 0, 2));
      for (const row of [-1, 2, 0.5, Number.NaN])
        await expectDataError(store.read([{ section: train, row }]), /no row/);
      await expectDataError(store.read([{ section: { ...train, pass: 1 }, row: 0 }]), /has 0 rows/);
      expect((await store.read([])).dims).toEqual([0, 3, 2]);
    });

    test('neither what was appended nor what was read is shared with the store', async () => {
      await using store = await open([3, 2]);
      const chunk = chunkOf(train, 0, 2);
      await store.append(chunk);
      chunk.activations.data.fill(0);
      chunk.labels.fill(0);
      const picks = [{ section: train, row: 0 }];
      (await store.read(picks)).data.fill(-1);
      expect([...(await store.read(picks)).data]).toEqual([...chunkOf(train, 0, 2).activations.data.subarray(0, 6)]);
      expect(store.section(train).labels).toEqual(chunkOf(train, 0, 2).labels);
    });
  });
}

async function expectDataError(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DataError);
  expect((error as DataError).message).toMatch(message);
}
