import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createMemoryCommitStore } from '../../src/store/index.ts';
import { openFileCommitStore } from '../../src/store/node/index.ts';
import { commitStoreSuite } from './commit-store-suite.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-store-'));
afterAll(() => rm(root, { recursive: true }));
const newFolder = (): Promise<string> => mkdtemp(join(root, 'store-'));

commitStoreSuite('memory', async () => createMemoryCommitStore());
commitStoreSuite('file', async () => openFileCommitStore(await newFolder()));
