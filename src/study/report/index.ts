export type { Baseline, ProcessFigures, ReportContent } from './content.ts';
export { reportHtml } from './report.ts';
export { imageStrip, type Strip, type StripOptions, type StripRecord } from './strip.ts';
