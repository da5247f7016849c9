export { BYTES_UNACKNOWLEDGED, MESSAGES_UNACKNOWLEDGED } from './acknowledged.ts';
export * from './census.ts';
export * from './class-weights.ts';
export * from './choices.ts';
export * from './codec.ts';
export * from './handshake.ts';
export {
  classCountOf,
  COMMITS_HELD,
  type Direction,
  type Exchange,
  HISTOGRAM_BINS,
  inChunks,
  partsAtSite,
  REPORT_STATISTICS,
  stateTensors,
} from './lines.ts';
export * from './meaning.ts';
export * from './message.ts';
export * from './moments.ts';
export * from './outbound.ts';
export { type Piece, piecesOf } from './pieces.ts';
export * from './plan.ts';
export * from './pooled.ts';
export * from './proof.ts';
export * from './report.ts';
export * from './schedule.ts';
export * from './script.ts';
export * from './session.ts';
export * from './window.ts';
