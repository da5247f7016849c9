// Septum for programs: `import { runStudy } from 'septum'`. Everything else in the package is its own business and may change.

// Errors, to tell apart by class and `code`.
export {
  ConfigError,
  DataError,
  EngineError,
  ProtocolError,
  SeptumError,
  TimeoutError,
  TransportError,
} from './base/index.ts';

// Study files, and the plan that follows from one: `planOf(await readStudy('study.yaml')).plan`.
export type { Plan } from './protocol/index.ts';
export { planHash } from './protocol/index.ts';
export type { CompiledStudy, PlannedStudy } from './split/index.ts';
export {
  type CaseName,
  demoStudy,
  newStudy,
  parseStudy,
  planOf,
  readStudy,
  type Study,
  type StudyOverrides,
  studyJsonSchema,
} from './study/index.ts';

// A whole study on this machine, as `septum run` does it: a server and its sites as processes.
export { type RunEvent, type RunOptions, type RunResult, runStudy } from './study/index.ts';
export type { MetricsFile } from './study/index.ts';

// What a run left: predictions and figures.
export { type ModelDescription, openModel, type Predictions, TrainedModel } from './study/index.ts';

// Networks, ONNX graphs as plain data, their gradients, and what runs them.
export { differentiate } from './autodiff/index.ts';
export type { Engine, Run } from './engine/index.ts';
export { type EngineOptions, openEngine } from './engine/node/index.ts';
export { namedNetwork, type Network, networkFromModel, networkNames } from './models/index.ts';
export { type Graph, GraphBuilder, readModel, writeModel } from './onnx/index.ts';
export { float32, type Tensor, tensor } from './tensor/index.ts';
