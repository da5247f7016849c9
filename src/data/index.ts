export * from './deal.ts';
export * from './image-settings.ts';
export * from './inputs.ts';
export * from './listing.ts';
export * from './manifest.ts';
export * from './pooling.ts';
export * from './records.ts';
export * from './settings.ts';
