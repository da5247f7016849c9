export { hasParent, underParent } from './child.ts';
export { demoStudy } from './demo-study.ts';
export { handOver, takeOver, type Weights } from './hand-over.ts';
export type { Failure, Report, ServerFigures, SiteFigures } from './reports.ts';
export { type RunEvent, type RunOptions, type RunResult, runStudy } from './run-study.ts';
export { serveToFolder } from './serve-to-folder.ts';
export { serveStudy, type ServeOptions } from './serve-study.ts';
export { takePart, type TakePartOptions } from './take-part.ts';
export { versions } from './versions.ts';
