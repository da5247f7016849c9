export * from './agent.ts';
export { greet, type SiteKeys } from './greet.ts';
