// A study as a site's operator sees it: what leaves before anything leaves, then how it goes.

import type { Listing } from '../data/index.ts';
import type { Plan } from '../protocol/index.ts';
import type { SiteEvent, SiteResult } from '../site/index.ts';
import { bytesText, countText, figureText } from './amounts.ts';
import type { Screen } from './screen.ts';

const betweenLinesMs = 1000;

export class SiteProgress {
  readonly #screen: Screen;
  readonly #site: string;
  #epochs = 0;
  #told = Number.NEGATIVE_INFINITY;
  #records = 0;
  /** What was last said of the connection. */
  #said = '';

  constructor(screen: Screen, site: string) {
    this.#screen = screen;
    this.#site = site;
  }

  joins(plan: Plan, url: string): void {
    this.#epochs = plan.training.epochs;
    const where = url.startsWith('ws:') ? 'a server on this machine only' : `the server at ${url}`;
    this.#screen.line(`site ${this.#site} takes part in study ${plan.study}; it reaches ${where}`);
  }

  listed({ synthetic, skipped, warnings }: Listing): void {
    if (synthetic) this.#screen.line('SYNTHETIC records: computed, of no real patient');
    for (const remark of [...skipped, ...warnings]) this.#screen.line(`note: ${remark}`);
  }

  take(event: SiteEvent): void {
    const nowMs = performance.now();
    switch (event.kind) {
      case 'connected':
        this.#connection(`connected to ${event.detail}`);
        return;
      case 'lost':
        this.#connection(`no connection: ${event.detail}`);
        return;
      case 'counts': {
        const { train, val, test } = event.counts;
        this.#screen.line(`train ${train}, val ${val}, test ${test}`);
        return;
      }
      case 'uploaded':
        this.#records += event.records;
        this.#screen.show(() => `${countText(this.#records)} records uploaded`, nowMs);
        return;
      case 'step':
        this.#screen.show(
          () => `epoch ${event.epoch + 1}/${this.#epochs}  step ${event.step + 1}  loss ${figureText(event.loss)}`,
          nowMs,
        );
        return;
      case 'epoch':
        if (nowMs - this.#told < betweenLinesMs && event.epoch + 1 < this.#epochs) return;
        this.#told = nowMs;
        this.#screen.line(`epoch ${event.epoch + 1}/${this.#epochs}${event.best ? ' (best)' : ''}`);
        return;
      case 'resumed':
        this.#screen.line(`goes on from the commit after step ${event.step}`);
        return;
      case 'entered':
        this.#screen.line(`takes part from step ${event.step} on, after it was away`);
        return;
      case 'warning':
        this.#screen.line(`warning: ${event.text}`);
        return;
      case 'commit':
    }
  }

  /** A site that cannot connect tries again and again: what is as it was is not said again. */
  #connection(text: string): void {
    if (text === this.#said) return;
    this.#said = text;
    this.#screen.line(text);
  }

  finished({ bytesSent, bytesReceived }: SiteResult): void {
    this.#screen.line(`the study is over; up ${bytesText(bytesSent)}, down ${bytesText(bytesReceived)}`);
  }
}
