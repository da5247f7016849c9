// Equivalent rewrites of a graph for one execution provider. What a study's plan hashes are the standard graphs; an engine that lowers
// them computes the same values faster, up to rounding.

export { blockFrom, blockProbe } from './block.ts';
export { lowerToBlocks, type Lowered } from './lower.ts';
export { type Prepared, prepared } from './prepare.ts';
export { type InUnits, inUnits } from './units.ts';
export { lowerToWinograd } from './winograd/lower.ts';
