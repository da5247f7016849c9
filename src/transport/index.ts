export * from './transport.ts';
export { faultKinds, faultyConnection, type FaultKind, type FaultyOptions } from './faulty.ts';
export { createMemoryListener, createMemoryPair, type MemoryListener } from './memory.ts';
export { throughConnection } from './through.ts';
