// In what order a site with W steps in flight goes through a round. The delay is fixed (SEMANTICS.md, "`buffered`"): the forward pass of
// step t comes after the update of step t - W and before that of any later step, whatever the network does. With W = 1 that is a step at a time.

import { piecesOf } from './pieces.ts';
import { type Plan, windowOf } from './plan.ts';

/** Messages that a site may be ahead of the trainer by. In a window these are its whole window's: the script lets it send no more before an answer. */
export function messagesAhead(plan: Plan): number {
  const ofBatch = piecesOf(plan, 0, plan.training.batch).length + 1;
  const window = windowOf(plan);
  return window > 1 ? Math.max(8, window * (ofBatch + 1)) : 8;
}

/** One act of a site on one step of the epoch: its batch goes up; its cut gradient comes down; the segment takes the update. */
export interface Act {
  readonly kind: 'forward' | 'backward' | 'update';
  readonly step: number;
}

/**
 * With `mirrored` a step comes down twice, as cut gradient and as gradient sum, with a round trip between. Half the window is for the first
 * way and half for the second: by so many steps sums are behind cut gradients.
 */
export function stepsSumsLag(window: number): number {
  return Math.floor((window - 1) / 2);
}

/** The acts on steps `from` to `to - 1`, with `window` steps in flight at most and none at the end; updates are `lag` backward passes late. */
export function* windowed(from: number, to: number, window: number, lag: number): Generator<Act, void, undefined> {
  const isStep = (step: number): boolean => from <= step && step < to;
  for (let step = from; step < to + window - 1; step++) {
    const ended = step - (window - 1);
    if (isStep(step)) yield { kind: 'forward', step };
    if (isStep(ended + lag)) yield { kind: 'backward', step: ended + lag };
    if (isStep(ended)) yield { kind: 'update', step: ended };
  }
}
