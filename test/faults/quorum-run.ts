// A study of three sites in this process, of which sites and server can be lost and started again, and whose logs are replayed.

import { expect } from 'vitest';
import type { OpenedData } from '../../src/data/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { partsAtSite, stateTensors } from '../../src/protocol/index.ts';
import { type MembersEntry, type ServerEvent, StudyServer } from '../../src/server/index.ts';
import { SiteAgent, type SiteEvent, type SiteResult } from '../../src/site/index.ts';
import { createMemoryActivationStore, createMemoryCommitStore } from '../../src/store/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import { TransportError } from '../../src/base/index.ts';
import { type Connection, createMemoryListener } from '../../src/transport/index.ts';
import { type OrderEntry, secretSeedOf } from '../harness/study.ts';
import { trainReference } from '../reference/index.ts';
import { hastyClock, type Planned } from './party.ts';

/** Training records of the sites A, B and C. */
export const counts = [30, 20, 10];

export interface RunOptions {
  /** From its start. */
  readonly paused?: boolean;
  readonly commitEveryMs?: number;
  readonly timeoutMs?: number;
  readonly joinTimeoutMs?: number;
  /** What happens while the server keeps its results. */
  readonly keeping?: () => Promise<void>;
}

/** The study. */
export class Run {
  readonly #planned: Planned;
  readonly #options: RunOptions;
  #listener: ReturnType<typeof createMemoryListener> | undefined;
  #ended = new AbortController();
  readonly #sites = new Map<
    number,
    { result: Promise<SiteResult>; kill: AbortController; connections: Connection[] }
  >();
  readonly #commits = Array.from({ length: counts.length + 1 }, () => createMemoryCommitStore());
  #watching: { wants: (event: ServerEvent) => boolean; resolve: (event: ServerEvent) => void }[] = [];
  /** Frames that a site may yet send. */
  readonly #framesLeft = new Map<number, number>();
  #held: { readonly freed: Promise<void>; readonly free: (how: Promise<void> | undefined) => void } | undefined;
  readonly activations;
  readonly events: ServerEvent[] = [];
  readonly siteEvents: SiteEvent[][] = counts.map(() => []);
  readonly members: MembersEntry[] = [];
  readonly #order: OrderEntry[] = [];
  server: StudyServer | undefined;
  result: ReturnType<StudyServer['run']> = Promise.reject(new Error('not started'));

  constructor(planned: Planned, options: RunOptions = {}) {
    this.#planned = planned;
    this.#options = options;
    this.result.catch(() => undefined);
    this.activations = createMemoryActivationStore(planned.plan.network.cutDims);
  }

  /** A study with all its sites. */
  static ofAll(planned: Planned, options?: RunOptions): Run {
    const run = new Run(planned, options);
    run.start();
    for (const site of counts.keys()) run.join(site);
    return run;
  }

  start(): void {
    this.result = this.#serve();
    this.result.catch(() => undefined);
  }

  /** The server is gone without a word, and with the commit that it was about to write. */
  async dropServer(): Promise<void> {
    this.#listener = undefined;
    for (const { connections } of this.#sites.values())
      await Promise.all(connections.map((connection) => connection.close()));
    this.#ended.abort(new Error('dead'));
    this.release(Promise.reject(new Error('dead')));
    await this.result.catch(() => undefined);
    this.#ended = new AbortController();
  }

  /** Until `release` the server's next commit is not written. */
  hold(): void {
    let free: (how: Promise<void> | undefined) => void = () => undefined;
    const freed = new Promise<void>((resolve) => (free = resolve));
    freed.catch(() => undefined);
    this.#held = { freed, free };
  }

  release(how?: Promise<void>): void {
    how?.catch(() => undefined);
    this.#held?.free(how);
    this.#held = undefined;
  }

  async #serve(): ReturnType<StudyServer['run']> {
    const { plan, study } = this.#planned;
    const listener = createMemoryListener();
    const store = this.#commits[counts.length]!;
    this.#listener = listener;
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    this.server = new StudyServer({
      plan,
      study,
      engine,
      listener,
      clock: hastyClock,
      signal: this.#ended.signal,
      commits: {
        list: (name) => store.list(name),
        read: (name, index) => store.read(name, index),
        latest: (name) => store.latest(name),
        write: async (name, commit) => {
          await this.#held?.freed;
          await store.write(name, commit);
        },
      },
      activations: this.activations,
      logOrder: async (entry) => void this.#order.push(entry),
      logMembers: async (entry) => void this.members.push(entry),
      onEvent: (event) => this.#take(event),
      timeoutMs: this.#options.timeoutMs ?? 20_000,
      joinTimeoutMs: this.#options.joinTimeoutMs,
      commitEveryMs: this.#options.commitEveryMs,
      keep: this.#options.keeping,
    });
    if (this.#options.paused === true) this.server.pause();
    return await this.server.run();
  }

  #take(event: ServerEvent): void {
    this.events.push(event);
    const watching = this.#watching;
    this.#watching = [];
    for (const each of watching) {
      if (each.wants(event)) each.resolve(event);
      else this.#watching.push(each);
    }
  }

  /** The next event that is wanted. Rejects if the study ends before. */
  async until(wants: (event: ServerEvent) => boolean): Promise<ServerEvent> {
    const found = new Promise<ServerEvent>((resolve) => this.#watching.push({ wants, resolve }));
    return Promise.race([found, this.result.then(() => Promise.reject(new Error('the study has ended')))]);
  }

  /** Resolves when the epoch has ended: at once if it has. */
  async afterEpoch(epoch: number): Promise<void> {
    const has = (event: ServerEvent) => event.kind === 'epoch' && event.record.epoch >= epoch;
    if (!this.events.some(has)) await this.until(has);
  }

  async afterStep(step: number): Promise<void> {
    await this.until((event) => event.kind === 'step' && event.report.step >= step);
  }

  /** A site comes, with other records if some are given. */
  join(site: number, data = this.#planned.data[site]!): void {
    const kill = new AbortController();
    const connections: Connection[] = [];
    const result = this.#takePart(site, data, kill.signal, connections);
    result.catch(() => undefined);
    this.#sites.set(site, { result, kill, connections });
  }

  async #takePart(site: number, data: OpenedData, signal: AbortSignal, connections: Connection[]): Promise<SiteResult> {
    const { plan, study } = this.#planned;
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    return await new SiteAgent({
      plan,
      study,
      index: site,
      data,
      engine,
      connect: async () => {
        if (!this.#listener) throw new TransportError('connect-failed', 'there is no server');
        const connection = await this.#listener.connect();
        connections.push(connection);
        return this.#mutable(site, connection);
      },
      clock: hastyClock,
      signal,
      timeoutMs: 20_000,
      secretSeed: secretSeedOf(site),
      commits: this.#commits[site],
      onEvent: (event) => void this.siteEvents[site]!.push(event),
    }).run();
  }

  /** What a muted site sends arrives nowhere. */
  #mutable(site: number, connection: Connection): Connection {
    const isMuted = () => {
      const left = this.#framesLeft.get(site);
      if (left !== undefined) this.#framesLeft.set(site, Math.max(0, left - 1));
      return left === 0;
    };
    return new Proxy(connection, {
      get: (target, name) => {
        if (name === 'trySend') return (frame: never) => isMuted() || target.trySend(frame);
        if (name === 'send')
          return async (...given: Parameters<Connection['send']>) => (isMuted() ? undefined : target.send(...given));
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** After so many frames of the site no other arrives. */
  mute(site: number, afterFrames = 0): void {
    this.#framesLeft.set(site, afterFrames);
  }

  unmute(site: number): void {
    this.#framesLeft.delete(site);
  }

  /** The site is gone without a word. */
  async drop(site: number): Promise<void> {
    const { result, kill, connections } = this.#sites.get(site)!;
    await Promise.all(connections.map((connection) => connection.close()));
    kill.abort(new Error('dead'));
    await result.catch(() => undefined);
  }

  site(site: number): Promise<SiteResult> {
    return this.#sites.get(site)!.result;
  }

  siteResults(): Promise<readonly SiteResult[]> {
    return Promise.all(counts.map((_, site) => this.site(site)));
  }

  /** The study's end, with what these sites have. */
  async end(sites: readonly number[] = [...counts.keys()]): ReturnType<StudyServer['run']> {
    const result = await this.result;
    await Promise.all(sites.map((site) => this.site(site)));
    for (const { kill } of this.#sites.values()) kill.abort(new Error('over'));
    return result;
  }

  /** Steps that count: the last word on each. */
  get steps() {
    const steps = this.events.flatMap((event) =>
      event.kind === 'step' ? [[event.report.step, event.report] as const] : [],
    );
    return [...new Map(steps).values()].toSorted((a, b) => a.step - b.step);
  }

  /** Who took part, stretch by stretch, as the log has it. */
  get attendance(): readonly string[] {
    const stretches: MembersEntry[] = [];
    for (const entry of this.members) {
      while ((stretches.at(-1)?.step ?? -1) >= entry.step) stretches.pop();
      if (stretches.at(-1)?.sites.join() !== entry.sites.join()) stretches.push(entry);
    }
    return stretches.map(({ sites }) => sites.join(''));
  }

  /** What server and sites have, and what a single process makes of the logs. */
  async replayed() {
    const { plan } = this.#planned;
    const log = [...new Map(this.#order.map((entry) => [entry.step, entry])).values()];
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    const { last } = await trainReference(this.#planned, engine, { secretSeedOf, log, members: this.members });
    const { trunk } = await this.result;
    const names = partsAtSite(plan).flatMap((part) =>
      stateTensors(part, plan.layouts[part]!, false).map(({ name }) => name),
    );
    const found: Record<string, unknown> = { trunk };
    const expected: Record<string, unknown> = { trunk: pick(last.trunk, Object.keys(trunk)) };
    for (const [site, { result }] of this.#sites) {
      const own = await result.catch(() => undefined);
      if (!own) continue;
      found[`site ${site}`] = own.segment;
      expected[`site ${site}`] = pick(last.sites[site], names);
    }
    return { found, expected };
  }
}

/** The logs alone determine every bit. */
export async function expectReplay(run: Run): Promise<void> {
  const { found, expected } = await run.replayed();
  expect(found).toEqual(expected);
}

function pick(tensors: Readonly<Record<string, Tensor>> | undefined, names: readonly string[]) {
  return Object.fromEntries(names.map((name) => [name, tensors?.[name]]));
}
