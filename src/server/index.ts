export { stepsOfEpoch } from './census.ts';
export type { EpochRecord } from './epochs.ts';
export type { PartMetrics } from './evaluation.ts';
export { Gate, type GateOptions } from './gate.ts';
export { Reception, type ReceptionOptions, type StudyAtReception } from './reception.ts';
export * from './study-server.ts';
export type { StepReport } from './training.ts';
export { watchRegistry } from './watch-registry.ts';
