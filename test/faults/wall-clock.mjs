// Loaded before `septum` in a process whose wall clock is to be wrong (node --import): its dates are off by the milliseconds that stand in
// the file that SEPTUM_CLOCK names, which may change at any time. What counts durations is left alone, as when a system's clock is set.

import { readFileSync } from 'node:fs';

const RightDate = Date;
const offsetMs = () => Number(readFileSync(process.env.SEPTUM_CLOCK, 'utf8'));

globalThis.Date = class extends RightDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RightDate.now() + offsetMs()] : given));
  }

  static now() {
    return RightDate.now() + offsetMs();
  }
};
