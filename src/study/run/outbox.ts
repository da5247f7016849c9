// A child's side of the channel to its parent. Steps come by the thousand a second; they are gathered and go out together.

import type { Report } from './reports.ts';

const everyMs = 100;
const gatheredMost = 1000;

export class Outbox {
  #gathered: Report[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();

  /** Tells the parent, at once or within a tenth of a second. */
  tell(report: Report): void {
    this.#gathered.push(report);
    const urgent = !(report.kind === 'server' && report.event.kind === 'step');
    if (urgent || this.#gathered.length >= gatheredMost) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), everyMs);
  }

  /** Resolves when the channel has taken everything, or is gone. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const reports = this.#gathered;
    this.#gathered = [];
    if (reports.length > 0) this.#sending = Promise.all([this.#sending, send(reports)]).then(() => undefined);
    return this.#sending;
  }
}

function send(reports: readonly Report[]): Promise<void> {
  return new Promise((resolve) => {
    // Without a channel the parent is gone, and this process ends for that reason.
    if (!process.connected || !process.send) resolve();
    else process.send(reports, () => resolve());
  });
}
