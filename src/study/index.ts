export * from './dealing.ts';
export * from './enrolment/index.ts';
export * from './evaluate.ts';
export * from './metrics-file.ts';
export { type DescribedModel, methodOf, type ModelDescription } from './model-description.ts';
export {
  type FinishedStudy,
  type Model,
  type ModelFolder,
  modelOf,
  readModelFolder,
  writeModelFolder,
} from './model-folder.ts';
export { modelGraphs, type ModelGraphs, type TrainedStudy } from './model-graphs.ts';
export { type CaseName, caseNames, newStudy } from './new-study.ts';
export * from './planned-study.ts';
export * from './predict.ts';
export * from './profile/index.ts';
export * from './report/index.ts';
export * from './running-model.ts';
export * from './study-file.ts';
export { studyJsonSchema } from './study-schema.ts';
export * from './run/index.ts';
