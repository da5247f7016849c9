import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import fc from 'fast-check';
import { ConfigError, DataError } from '../../base/index.ts';
import { tensor } from '../../tensor/index.ts';
import type { ActivationChunk, SectionKey } from '../index.ts';
import { openFileActivationStore, type FileActivationStore } from './file-activation-store.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-activations-'));
afterAll(() => rm(root, { recursive: true }));
const newFolder = (): Promise<string> => mkdtemp(join(root, 'store-'));

const key: SectionKey = { site: 'site-1', part: 'train', pass: 2 };

function chunkOf(index: number): ActivationChunk {
  const rows = index + 2;
  return {
    ...key,
    index,
    activations: tensor(
      'float32',
      [rows, 5],
      new Float32Array(rows * 5).map((_, at) => index * 100 + at),
    ),
    labels: new Float64Array(rows).fill(index / 3),
    groups: new Int32Array(rows).fill(index),
  };
}

/** A folder with chunks 0, 1 and 2, sealed. */
async function threeChunks(): Promise<string> {
  const folder = await newFolder();
  await using store = await openFileActivationStore(folder, [5]);
  for (const index of [0, 1, 2]) await store.append(chunkOf(index));
  await store.seal('site-1');
  return folder;
}

/** Holds that the first chunks of a store are as they were sent; gives their number. */
async function expectWholeChunks(store: FileActivationStore): Promise<number> {
  const { chunkCount, rowCount, labels } = store.section(key);
  const sent = Array.from({ length: chunkCount }, (_, index) => chunkOf(index));
  expect([...labels]).toEqual(sent.flatMap((chunk) => [...chunk.labels]));
  const read = await store.read(Array.from({ length: rowCount }, (_, row) => ({ section: key, row })));
  expect([...read.data]).toEqual(sent.flatMap((chunk) => [...chunk.activations.data]));
  return chunkCount;
}

test('a store that is opened again has everything, and goes on', async () => {
  const folder = await threeChunks();
  await using store = await openFileActivationStore(folder, [5]);
  expect(store.problems).toEqual([]);
  expect(await expectWholeChunks(store)).toBe(3);
  expect(store.isSealed('site-1')).toBe(true);
  await store.append(chunkOf(1));
  await store.append({ ...chunkOf(0), site: 'site-2' });
});

test('after damage to any byte of rows or index, the chunks before it stand and the rest can be sent again', async () => {
  const whole = await threeChunks();
  const files = ['site-1.train.2.rows', 'site-1.train.2.index'];
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(whole, file))).size));
  const arbitraryDamage = fc.record({
    file: fc.nat(1),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    cut: fc.boolean(),
    bit: fc.nat(7),
  });
  await fc.assert(
    fc.asyncProperty(arbitraryDamage, async ({ file, at, cut, bit }) => {
      const folder = await newFolder();
      for (const name of await readdir(whole)) await copyFile(join(whole, name), join(folder, name));
      const path = join(folder, files[file]!);
      const bytes = await readFile(path);
      const position = Math.floor(at * sizes[file]!);
      bytes[position]! ^= 1 << bit;
      await writeFile(path, cut ? bytes.subarray(0, position) : bytes);

      await using store = await openFileActivationStore(folder, [5]);
      const chunkCount = await expectWholeChunks(store);
      expect(chunkCount).toBeLessThan(3);
      expect(store.isSealed('site-1')).toBe(false);
      expect(store.problems.at(-1)).toMatch(/site-1\.sealed: .* must send that again/);
      for (const index of [0, 1, 2]) await store.append(chunkOf(index));
      await store.seal('site-1');
      expect(await expectWholeChunks(store)).toBe(3);
      await store.close();
      await using again = await openFileActivationStore(folder, [5]);
      expect(again.problems).toEqual([]);
      expect(await expectWholeChunks(again)).toBe(3);
      expect(again.isSealed('site-1')).toBe(true);
    }),
    { numRuns: 120, seed: 4 },
  );
});

test('what a crash left after the last acknowledged chunk is overwritten', async () => {
  const folder = await newFolder();
  {
    await using store = await openFileActivationStore(folder, [5]);
    await store.append(chunkOf(0));
  }
  await writeFile(join(folder, 'site-1.train.2.rows'), Buffer.alloc(33), { flag: 'a' });
  await writeFile(join(folder, 'site-1.train.2.index'), '{"index":1,"labels":"AAAA', { flag: 'a' });
  await writeFile(join(folder, 'site-2.val.0.rows'), Buffer.alloc(100));
  await using store = await openFileActivationStore(folder, [5]);
  expect(store.problems).toEqual([]);
  for (const index of [1, 2]) await store.append(chunkOf(index));
  await store.append({ ...chunkOf(0), site: 'site-2', part: 'val', pass: 0 });
  expect(await expectWholeChunks(store)).toBe(3);
  expect((await stat(join(folder, 'site-2.val.0.rows'))).size).toBe(40);
});

test('a damaged seal is no seal', async () => {
  for (const text of ['', '{"site-1.train.2":8}', '[]', '{"site-1.test.0":1}']) {
    const folder = await threeChunks();
    await writeFile(join(folder, 'site-1.sealed'), text);
    await using store = await openFileActivationStore(folder, [5]);
    expect(store.isSealed('site-1')).toBe(false);
    expect(store.problems).toHaveLength(1);
  }
});

test('a store of rows of another shape is refused', async () => {
  const folder = await threeChunks();
  await expect(openFileActivationStore(folder, [5, 1])).rejects.toThrow(ConfigError);
});

test('batches at once come from more files than may be open', async () => {
  const folder = await newFolder();
  await using store = await openFileActivationStore(folder, [5], { cacheBytesMax: 0, filesMax: 2 });
  const sites = Array.from({ length: 8 }, (_, at) => `site-${at}`);
  for (const site of sites) await store.append({ ...chunkOf(3), site, index: 0 });
  const batches = await Promise.all(
    Array.from({ length: 40 }, (_, at) =>
      store.read(sites.map((site) => ({ section: { ...key, site }, row: at % 5 }))),
    ),
  );
  for (const [at, batch] of batches.entries()) {
    const expected = chunkOf(3).activations.data.slice((at % 5) * 5, (at % 5) * 5 + 5);
    for (let index = 0; index < 8; index += 1) expect(batch.data.slice(index * 5, index * 5 + 5)).toEqual(expected);
  }
});

test('a file that is gone, and a store that is closed, are typed errors', async () => {
  const folder = await threeChunks();
  const store = await openFileActivationStore(folder, [5], { cacheBytesMax: 40 });
  await rm(join(folder, 'site-1.train.2.rows'));
  await expect(store.read([{ section: key, row: 0 }])).rejects.toThrow(/cannot read row 0/);
  await mkdir(join(folder, 'site-9.val.0.rows'));
  await expect(store.append({ ...chunkOf(0), site: 'site-9', part: 'val', pass: 0 })).rejects.toThrow(DataError);
  await store.close();
  await store.close();
  await expect(store.read([])).rejects.toThrow(DataError);
  await expect(store.append(chunkOf(0))).rejects.toThrow(DataError);
  await expect(store.seal('site-1')).rejects.toThrow(DataError);
});

test('of a site that is removed no file is left', async () => {
  const folder = await threeChunks();
  const other = { ...chunkOf(0), site: 'site-10' };
  {
    await using store = await openFileActivationStore(folder, [5]);
    await store.append(other);
    await expectWholeChunks(store);
    await store.remove('site-1');
  }
  expect((await readdir(folder)).toSorted()).toEqual(['site-10.train.2.index', 'site-10.train.2.rows', 'store.json']);
  await using again = await openFileActivationStore(folder, [5]);
  expect(again.problems).toEqual([]);
  expect(again.sections().map(({ site }) => site)).toEqual(['site-10']);
});
