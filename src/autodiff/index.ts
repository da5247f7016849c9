export * from './differentiate.ts';
export * from './in-place.ts';
export * from './loss.ts';
export * from './optimizer.ts';
export { ruledOperators } from './rules/table.ts';
export * from './schedule.ts';
export * from './training.ts';
