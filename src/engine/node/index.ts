export { allocatorEnvironment } from './allocator.ts';
export { openEngine, type EngineOptions } from './open.ts';
export { providersHere, type ProviderHere } from './providers.ts';
export type { Optimization } from './messages.ts';
export type { TriedForms } from './tried-forms.ts';
