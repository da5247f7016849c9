export { atomicWriteFile } from './atomic-file.ts';
export { openFileCommitStore } from './file-commit-store.ts';
