// Checking a large folder takes minutes: what its owner sees of it.

import { countText } from './amounts.ts';
import type { Screen } from './screen.ts';

/** Without a terminal, lines are at least this far apart. */
const betweenLinesMs = 5000;

/** Shows how many images have been checked so far. */
export function checkedImages(screen: Screen): (images: number) => void {
  let toldMs = performance.now();
  return (images) => {
    const nowMs = performance.now();
    const text = (): string => `${countText(images)} images checked`;
    screen.show(text, nowMs);
    if (screen.live || nowMs - toldMs < betweenLinesMs) return;
    toldMs = nowMs;
    screen.line(text());
  };
}
