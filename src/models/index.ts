export * from './network.ts';
export * from './named-network.ts';
export * from './initialise.ts';
