export * from './engine.ts';
export * from './graph-table.ts';
