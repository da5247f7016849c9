export * from './bindings.ts';
export * from './compile.ts';
export * from './hyper.ts';
export * from './layout.ts';
export * from './learn-forward.ts';
export * from './masks.ts';
export * from './plan.ts';
