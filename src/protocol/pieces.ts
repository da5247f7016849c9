// In which messages a training batch travels. A server that computes on some records while others are still under way wants them as it
// takes them: in units whose bounds are counted from the start of the server step, over all of its sites' records.

import { elementCount } from '../tensor/index.ts';
import type { Plan } from './plan.ts';

/** Records of a batch that travel together: `count` of them, `from` the batch's record of that index on. */
export interface Piece {
  readonly from: number;
  readonly count: number;
}

const unitRecords = 16;
/** A message has about as many bytes at least: for a smaller one its own work outweighs what it saves. */
const bytesLeast = 128 << 10;

/**
 * The pieces of a batch of `count` records, `first` of the server step's records being before it. Only where the labels are at the server:
 * else it needs the whole batch's outputs back before it goes on.
 */
export function piecesOf({ network: { cutDims } }: Pick<Plan, 'network'>, first: number, count: number): Piece[] {
  const unit = unitRecords * Math.ceil(bytesLeast / (unitRecords * 4 * elementCount(cutDims)));
  const pieces: Piece[] = [];
  for (let from = 0; from < count;) {
    const most = unit - ((first + from) % unit);
    const piece = { from, count: Math.min(most, count - from) };
    pieces.push(piece);
    from += piece.count;
  }
  return pieces;
}
