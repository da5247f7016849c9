// The machine's clock.

import { type Clock, sleepWith } from '../clock.ts';

/** A timer longer than this would fire at once. */
const timerMsMost = 2 ** 31 - 1;

/** Real time. A timer keeps the process alive until it has run or is cancelled; `Infinity` never runs. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer,
  sleep: (ms, signal) => sleepWith(setTimer, ms, signal),
};

/** Node counts a timer from when the turn of its event loop began, so it may run early: what is left is waited for again. */
function setTimer(ms: number, call: () => void): () => void {
  let timer: NodeJS.Timeout;
  const endMs = performance.now() + ms;
  const arm = (): void => {
    const leftMs = endMs - performance.now();
    timer = setTimeout(leftMs > timerMsMost ? arm : ring, Math.min(leftMs, timerMsMost));
  };
  const ring = (): void => {
    if (performance.now() < endMs) arm();
    else call();
  };
  arm();
  return () => clearTimeout(timer);
}
