export * from './graph.ts';
export * from './builder.ts';
export * from './data-type.ts';
export { inferredOperators } from './infer/index.ts';
export { sliceBounds } from './infer/joining.ts';
export {
  addDims,
  broadcastDims,
  canonicalDim,
  divideDims,
  formatDims,
  multiplyDims,
  productOfDims,
  sameDims,
} from './infer/dims.ts';
export { readModel, type ReadLimits } from './file/read.ts';
export { graphHash, writeModel } from './file/write.ts';
export * from './check.ts';
export * from './edit.ts';
export { upgrade } from './upgrade.ts';
