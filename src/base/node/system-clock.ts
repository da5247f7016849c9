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

function setTimer(ms: number, call: () => void): () => void {
  let timer: NodeJS.Timeout;
  const endMs = performance.now() + ms;
  const arm = (): void => {
    const leftMs = endMs - performance.now();
    timer = setTimeout(leftMs > timerMsMost ? arm : call, Math.min(leftMs, timerMsMost));
  };
  arm();
  return () => clearTimeout(timer);
}
