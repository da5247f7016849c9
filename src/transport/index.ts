export * from './transport.ts';
export { createMemoryListener, createMemoryPair, type MemoryListener } from './memory.ts';
export { throughConnection } from './through.ts';
