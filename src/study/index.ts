export * from './planned-study.ts';
export * from './study-file.ts';
export { studyJsonSchema } from './study-schema.ts';
export { type CaseName, caseNames, newStudy } from './new-study.ts';
export * from './run/index.ts';
