export * from './interpret.ts';
export * from './values.ts';
