export * from './network.ts';
export * from './named-network.ts';
export * from './initialise.ts';
export { networkFromModel, type ModelCuts } from './model-network.ts';
export { startFromModel } from './start-from-model.ts';
