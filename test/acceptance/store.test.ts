import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createMemoryActivationStore, createMemoryCommitStore } from '../../src/store/index.ts';
import { openFileActivationStore, openFileCommitStore } from '../../src/store/node/index.ts';
import { activationStoreSuite } from './activation-store-suite.ts';
import { commitStoreSuite } from './commit-store-suite.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-store-'));
afterAll(() => rm(root, { recursive: true }));
const newFolder = (): Promise<string> => mkdtemp(join(root, 'store-'));

commitStoreSuite('memory', async () => createMemoryCommitStore());
commitStoreSuite('file', async () => openFileCommitStore(await newFolder()));

activationStoreSuite('memory', async (rowDims) => createMemoryActivationStore(rowDims));
activationStoreSuite('file', async (rowDims) => openFileActivationStore(await newFolder(), rowDims));
activationStoreSuite('file, nothing kept in memory and one file open at a time,', async (rowDims) =>
  openFileActivationStore(await newFolder(), rowDims, { cacheBytesMax: 0, filesMax: 1 }),
);
activationStoreSuite('file, some kept in memory,', async (rowDims) =>
  openFileActivationStore(await newFolder(), rowDims, { cacheBytesMax: 800 }),
);
