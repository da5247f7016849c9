export * from './engine.ts';
export * from './graph-table.ts';
export { watchEngine } from './watch-engine.ts';
