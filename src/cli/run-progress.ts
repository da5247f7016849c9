// A run as its operator sees it: who starts, the dealing, how the training goes.

import type { EpochRecord, ServerEvent } from '../server/index.ts';
import { elementCount } from '../tensor/index.ts';
import type { Report, RunEvent } from '../study/index.ts';
import { bytesText, countText, durationText, figureText } from './amounts.ts';
import { Pace } from './pace.ts';
import type { Screen } from './screen.ts';

/** Without a terminal, epochs are told at least this far apart. */
const betweenLinesMs = 1000;

export class RunProgress {
  readonly #screen: Screen;
  readonly #pace = new Pace();
  #epochs = 0;
  #epoch = 0;
  #loss: number | null = null;
  #bytesUp = 0;
  #bytesDown = 0;
  #told = Number.NEGATIVE_INFINITY;
  #ends = false;
  /** `detached`: records to be uploaded over all passes, and those that are. */
  #uploads = 0;
  #uploaded = 0;
  #passes = 0;
  readonly #namesAwaited: boolean;
  /** Sites that have not connected yet. */
  readonly #awaited = new Set<string>();

  /** With `namesAwaited` it says which sites have not come yet: they are started by somebody else. */
  constructor(screen: Screen, { namesAwaited = false }: { readonly namesAwaited?: boolean } = {}) {
    this.#screen = screen;
    this.#namesAwaited = namesAwaited;
  }

  take(event: RunEvent): void {
    switch (event.kind) {
      case 'planned': {
        const { plan } = event.planned;
        const { when, order, trunk, segments, labels } = plan.choices;
        this.#epochs = plan.training.epochs;
        if (this.#namesAwaited) for (const site of plan.sites) this.#awaited.add(site);
        this.#passes = plan.training.augmentPasses + 1;
        const parameters = [plan.layouts.segment, plan.layouts.trunk, plan.layouts.head]
          .flatMap((layout) => layout?.groups ?? [])
          .reduce((sum, group) => sum + elementCount(group.dims), 0);
        this.#screen.line(
          `study ${plan.study}, seed ${plan.seed}: ${plan.network.name} (${countText(parameters)} parameters), ${when}, order ${order}, trunk ${trunk}, segments ${segments}, labels at the ${labels}`,
        );
        return;
      }
      case 'dealt': {
        const { listing, dealing } = event;
        if (listing.synthetic) this.#screen.line('SYNTHETIC records: computed, of no real patient');
        const { classes } = listing;
        if (classes) this.#screen.line(`records of ${classes.join(' + ')}:`);
        for (const [site, { train, val, test }] of Object.entries(dealing.counts)) {
          const of = (counts: readonly number[]) => counts.join(' + ');
          this.#screen.line(`${site}: train ${of(train)}, val ${of(val)}, test ${of(test)}`);
        }
        for (const remark of [...listing.skipped, ...listing.warnings]) this.#screen.line(`note: ${remark}`);
        return;
      }
      case 'started':
        this.#screen.line(`${event.process} started (process ${event.pid})`);
        return;
      case 'report':
        this.#report(event.process, event.report);
        return;
      case 'lost':
        this.#screen.line(
          `${event.site} is lost: ${event.reason}; the study goes on with the ${event.left} that are left, its quorum being ${event.quorum}`,
        );
        return;
      case 'ended':
        if (event.ending.code !== 0)
          this.#screen.line(`${event.process} ended ${event.ending.signal ?? `with exit code ${event.ending.code}`}`);
    }
  }

  #report(process: string, report: Report): void {
    const nowMs = performance.now();
    if (report.kind === 'traffic') {
      this.#bytesUp = report.bytesUp;
      this.#bytesDown = report.bytesDown;
      this.#screen.show(() => this.#text(nowMs), nowMs);
    } else if (report.kind === 'server') {
      this.#server(report.event, nowMs);
    } else if (report.kind === 'site' && report.event.kind === 'uploaded') {
      this.#uploaded += report.event.records;
    } else if (report.kind === 'server-done') {
      this.#ends = true;
    } else if (report.kind === 'failed') {
      this.#screen.line(`${process} failed`);
    }
  }

  #server(event: ServerEvent, nowMs: number): void {
    switch (event.kind) {
      case 'listening':
        this.#screen.line(
          `server listens on ${event.address}${event.address.startsWith('ws:') ? ' (this machine only)' : ''}`,
        );
        if (this.#awaited.size > 0) this.#screen.line(awaitedText([...this.#awaited]));
        return;
      case 'site':
        if (event.state === 'connected' && this.#awaited.delete(event.site))
          this.#screen.line(`${event.site} has connected; ${awaitedText([...this.#awaited])}`);
        if (event.state !== 'connected' && event.state !== 'left' && !this.#ends)
          this.#screen.line(`${event.site} ${event.state}: ${event.detail}`);
        return;
      case 'enrolled':
        this.#screen.line(`${event.site} is enrolled, from ${event.remote}`);
        return;
      case 'refused':
        this.#screen.line(`refused ${event.remote}: ${event.reason}`);
        return;
      case 'counts':
        this.#pace.expect(event.epochs * event.stepsPerEpoch);
        for (const { train, val, test } of Object.values(event.counts))
          this.#uploads += train * this.#passes + val + test;
        return;
      case 'uploaded':
        this.#screen.line(`${event.site} has uploaded everything and may leave`);
        return;
      case 'step':
        this.#pace.step(event.report.records, nowMs);
        this.#epoch = event.report.epoch;
        this.#loss = event.report.loss ?? this.#loss;
        this.#screen.show(() => this.#text(nowMs), nowMs);
        return;
      case 'epoch':
        this.#epochEnded(event.record, nowMs);
        return;
      case 'resumed':
        this.#pace.goOnFrom(event.step);
        this.#ends = false;
        this.#screen.line(resumedText(event));
        return;
      case 'members':
        this.#screen.line(membersText(event));
        return;
      case 'paused':
        this.#screen.line(
          `paused ${event.step === 0 ? 'at its start' : `at the commit after step ${event.step}`}: the sites wait`,
        );
        return;
      case 'going-on':
        this.#screen.line('no longer paused');
        return;
      case 'hand-over':
        if (event.state !== 'done') this.#screen.line(handOverText(event, this.#namesAwaited));
        return;
      case 'withdrawn':
        this.#screen.line(`${event.site} has withdrawn from the study`);
        return;
      case 'warning':
        this.#screen.line(`warning: ${event.text}`);
        return;
      case 'commit':
    }
  }

  #epochEnded(record: EpochRecord, nowMs: number): void {
    this.#loss = record.trainLoss;
    if (record.epoch + 1 === this.#epochs) {
      // What follows is the test and the handing over of weights, not training.
      this.#ends = true;
    } else if (nowMs - this.#told < betweenLinesMs) return;
    this.#told = nowMs;
    const { val } = record;
    const figure = val && 'auc' in val.overall ? `val AUC ${figureText(val.overall.auc)}` : '';
    const rmse = val && 'rmse' in val.overall ? `val RMSE ${figureText(val.overall.rmse)}` : '';
    this.#screen.line(
      [
        `epoch ${record.epoch + 1}/${this.#epochs}`,
        `loss ${figureText(record.trainLoss)}`,
        `${figure}${rmse}${record.best ? ' (best)' : ''}`,
        ...this.#amounts(nowMs),
      ].join('  '),
    );
  }

  #text(nowMs: number): string {
    if (this.#uploads > 0 && this.#pace.share === 0 && this.#uploaded > 0)
      return `${bar(this.#uploaded / this.#uploads)} uploading  ${this.#amounts(nowMs).join('  ')}`;
    const where = `epoch ${this.#epoch + 1}/${this.#epochs}`;
    return [`${bar(this.#pace.share)} ${where}`, `loss ${figureText(this.#loss)}`, ...this.#amounts(nowMs)].join('  ');
  }

  #amounts(nowMs: number): string[] {
    const speed = this.#pace.recordsPerSecond;
    const left = this.#pace.secondsLeft(nowMs);
    return [
      ...(speed === undefined ? [] : [`${countText(speed)} samples/s`]),
      `up ${bytesText(this.#bytesUp)} down ${bytesText(this.#bytesDown)}`,
      ...(left === undefined ? [] : [`${durationText(left)} left`]),
    ];
  }
}

/** The most sites that one line names. */
const namedMost = 12;

function resumedText({ step, undone, reason }: ServerEvent & { readonly kind: 'resumed' }): string {
  const again = undone > 0 ? `; ${undone} steps are made again` : '';
  return `${reason}: the study goes on ${step === 0 ? 'from its start' : `from the commit after step ${step}`}${again}`;
}

function membersText({ sites, entering, away }: ServerEvent & { readonly kind: 'members' }): string {
  const missing = away.length === 0 ? '' : `, without ${namesText(away)}`;
  const news =
    entering.length === 0 ? '' : `; ${namesText(entering)} ${entering.length === 1 ? 'enters' : 'enter'} here`;
  return `${sites.length} of ${sites.length + away.length} sites take part${missing}${news}`;
}

/** `isAlone`: the server runs for itself, and may be started again. */
function handOverText({ site, state }: ServerEvent & { readonly kind: 'hand-over' }, isAlone: boolean): string {
  if (state === 'awaited')
    return `the study is over and its results are kept: waits for ${site} to fetch the model${isAlone ? '; Ctrl-C ends it' : ''}`;
  return `${site} has not fetched the model${isAlone ? ': when it is back, start the server again with this folder' : ''}`;
}

function awaitedText(sites: readonly string[]): string {
  if (sites.length === 0) return 'all sites are here';
  return `waiting for ${namesText(sites)}`;
}

function namesText(sites: readonly string[]): string {
  const more = sites.length - namedMost;
  return `${sites.slice(0, namedMost).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function bar(share: number): string {
  const width = 20;
  const full = Math.round(width * Math.min(1, share));
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
}
