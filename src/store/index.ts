export * from './activation-store.ts';
export * from './commit-store.ts';
export * from './json.ts';
export * from './log.ts';
export { createMemoryCommitStore } from './memory-commit-store.ts';
