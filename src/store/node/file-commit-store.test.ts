import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import fc from 'fast-check';
import { DataError } from '../../base/index.ts';
import { float32, tensor } from '../../tensor/index.ts';
import type { Commit } from '../index.ts';
import { openFileCommitStore } from './file-commit-store.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-commits-'));
afterAll(() => rm(root, { recursive: true }));
const newFolder = (): Promise<string> => mkdtemp(join(root, 'store-'));

function commitOf(index: number): Commit {
  return {
    index,
    meta: { epoch: index },
    tensors: { bias: float32([index, 1, 2]), mask: tensor('uint8', [70], new Uint8Array(70).fill(index)) },
  };
}

/** A folder with commits 1 and 2, and the path of the newer one. */
async function twoCommits(): Promise<{ readonly folder: string; readonly newest: string }> {
  const folder = await newFolder();
  const store = await openFileCommitStore(folder);
  await store.write('server', commitOf(1));
  await store.write('server', commitOf(2));
  return { folder, newest: join(folder, 'server.000000000002.commit') };
}

async function expectTheOneBefore(folder: string): Promise<void> {
  const store = await openFileCommitStore(folder);
  const { commit, problems } = await store.latest('server');
  expect(commit).toEqual(commitOf(1));
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain('server.000000000002.commit: cannot use this commit: it');
  const error = await store.read('server', 2).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DataError);
}

test('a commit cut at any length is passed over, reported, and the one before is used', async () => {
  const { folder, newest } = await twoCommits();
  const whole = await readFile(newest);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), async (length) => {
      await writeFile(newest, whole.subarray(0, length));
      await expectTheOneBefore(folder);
    }),
    { numRuns: 60, seed: 1, examples: [[0], [1], [15], [16], [17], [whole.length - 1], [whole.length - 32]] },
  );
});

test('a commit with any bit turned is passed over, reported, and the one before is used', async () => {
  const { folder, newest } = await twoCommits();
  const whole = await readFile(newest);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (at, bit) => {
      const turned = Buffer.from(whole);
      turned[at]! ^= 1 << bit;
      await writeFile(newest, turned);
      await expectTheOneBefore(folder);
    }),
    { numRuns: 150, seed: 2 },
  );
});

test('a commit with bytes after its end is passed over', async () => {
  const { folder, newest } = await twoCommits();
  await writeFile(newest, Buffer.concat([await readFile(newest), Buffer.from([0])]));
  await expectTheOneBefore(folder);
});

test('a head that speaks of more than there is is refused', async () => {
  const { folder, newest } = await twoCommits();
  const bytes = await readFile(newest);
  const changed = bytes.toString('latin1').replace('"dims":[3]', '"dims":[9]').replace('"dims":[70]', '"dims":[7e9]');
  await writeFile(newest, Buffer.from(changed, 'latin1'));
  await expectTheOneBefore(folder);
});

test('without any whole commit there is none, and every one is reported', async () => {
  const { folder, newest } = await twoCommits();
  await truncate(newest, 40);
  await truncate(join(folder, 'server.000000000001.commit'), 0);
  const { commit, problems } = await (await openFileCommitStore(folder)).latest('server');
  expect(commit).toBeUndefined();
  expect(problems).toHaveLength(2);
});

test('what a crash left of an unfinished write is not a commit, and is tidied up', async () => {
  const { folder, newest } = await twoCommits();
  const whole = await readFile(newest);
  await writeFile(join(folder, 'server.000000000003.commit.tmp'), whole.subarray(0, 50));
  await writeFile(join(folder, 'other.000000000001.commit.tmp'), 'of another process');
  const store = await openFileCommitStore(folder);
  expect((await store.latest('server')).commit).toEqual(commitOf(2));
  await store.write('server', commitOf(3));
  expect((await readdir(folder)).toSorted()).toEqual([
    'other.000000000001.commit.tmp',
    'server.000000000002.commit',
    'server.000000000003.commit',
  ]);
});

test('a commit that cannot be written is a typed error and leaves the ones before', async () => {
  const { folder } = await twoCommits();
  const store = await openFileCommitStore(folder);
  // A folder stands where the file would be.
  const blocked = join(folder, 'server.000000000003.commit');
  await mkdir(join(blocked, 'in-the-way'), { recursive: true });
  await expect(store.write('server', commitOf(3))).rejects.toThrow(/server\.000000000003\.commit: cannot write/);
  expect((await store.latest('server')).commit).toEqual(commitOf(2));
  await rm(blocked, { recursive: true });
  await store.write('server', commitOf(3));
  expect((await store.latest('server')).commit).toEqual(commitOf(3));
});

test('the tensors of a file lie at multiples of 64 and end with the SHA-256 of the rest', async () => {
  const { newest } = await twoCommits();
  const bytes = await readFile(newest);
  expect(bytes.subarray(0, 8).toString()).toBe('SEPTUMCM');
  const start = 16 + bytes.readUInt32LE(12);
  expect(start % 64).toBe(0);
  expect(bytes.readFloatLE(start)).toBe(2);
  expect(bytes[start + 64 + 69]).toBe(2);
  expect(bytes.length).toBe(start + 64 + 128 + 32);
  expect(bytes.subarray(-32)).toEqual(createHash('sha256').update(bytes.subarray(0, -32)).digest());
});

test('a large commit is written in pieces and read back', async () => {
  const store = await openFileCommitStore(await newFolder());
  const weights = new Float32Array(3_000_001).map((_, index) => index);
  const commit: Commit = { index: 0, meta: null, tensors: { weights: tensor('float32', [3_000_001], weights) } };
  await store.write('server', commit);
  const found = (await store.latest('server')).commit!;
  expect(Buffer.compare(Buffer.from(found.tensors['weights']!.data.buffer), Buffer.from(weights.buffer))).toBe(0);
});

test('a folder that cannot be made is a typed error', async () => {
  const file = join(await newFolder(), 'file');
  await (await open(file, 'w')).close();
  expect((await stat(file)).size).toBe(0);
  await expect(openFileCommitStore(join(file, 'below'))).rejects.toThrow(DataError);
});
