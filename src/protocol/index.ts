export * from './choices.ts';
export * from './codec.ts';
export * from './message.ts';
export * from './moments.ts';
export * from './plan.ts';
export * from './schedule.ts';
export * from './script.ts';
export * from './session.ts';
