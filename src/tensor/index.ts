export * from './rows.ts';
export * from './tensor.ts';
