export * from './abort-reason.ts';
export * from './bounded-queue.ts';
export * from './clock.ts';
export * from './deadline.ts';
export * from './errors.ts';
export * from './hash.ts';
export * from './philox.ts';
export * from './random.ts';
