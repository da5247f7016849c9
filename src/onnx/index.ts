export * from './graph.ts';
export * from './builder.ts';
