export * from './errors.ts';
export * from './hash.ts';
export * from './philox.ts';
export * from './random.ts';
