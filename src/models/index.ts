export * from './network.ts';
export * from './named-network.ts';
export * from './initialise.ts';
export { cutAt, cutsOf, cutsWithHead } from './cuts.ts';
export { graphBytesMax } from './allowed-models.ts';
export { networkFromModel } from './model-network.ts';
export { startFromModel } from './start-from-model.ts';
