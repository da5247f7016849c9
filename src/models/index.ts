export * from './network.ts';
export * from './named-network.ts';
