export * from './activation-store.ts';
export * from './commit-store.ts';
export * from './json.ts';
export * from './ledger.ts';
export * from './log.ts';
export { createMemoryActivationStore } from './memory-activation-store.ts';
export { createMemoryCommitStore } from './memory-commit-store.ts';
export { createMemoryLog, type MemoryLog } from './memory-log.ts';
export * from './registry.ts';
