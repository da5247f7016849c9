// A study behind its door: the server's identity, registry and TLS listener as `septum server` has them, in a temporary folder, and sites
// that join it as `septum join` does.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SiteKeys } from '../../src/site/index.ts';
import type { Registry } from '../../src/store/index.ts';
import {
  Door,
  type DoorOptions,
  type Enrolment,
  enterStudy,
  inviteSite,
  joinStudy,
  openEnrolment,
  openRegistry,
  readInvite,
} from '../../src/study/index.ts';
import { connectWebSocket, listenWebSocket, type WebSocketListener } from '../../src/transport/node/index.ts';
import { type Outcome, type PartySettings, type Planned, serve, takePart } from './party.ts';

/** Who was refused, as the server recorded it. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
}

export class Guarded {
  readonly folder: string;
  readonly door: Door;
  readonly registry: Registry;
  readonly listener: WebSocketListener;
  readonly planned: Planned;
  /** In the order in which the server recorded them. */
  readonly refusals: Refusal[] = [];

  private constructor(
    folder: string,
    { door, registry }: { readonly door: Door; readonly registry: Registry },
    planned: Planned,
    listen: (refused: Refusal[]) => WebSocketListener,
  ) {
    this.folder = folder;
    this.door = door;
    this.registry = registry;
    this.planned = planned;
    this.listener = listen(this.refusals);
  }

  static async open(planned: Planned, options: DoorOptions = {}): Promise<Guarded> {
    const folder = await mkdtemp(join(tmpdir(), 'septum-guarded-'));
    const registry = await openRegistry(join(folder, 'server'));
    const door = await Door.open(join(folder, 'server'), registry, options);
    let refused: Refusal[] = [];
    const listener = await listenWebSocket(door.listening(({ code, reason }) => refused.push({ code, reason })));
    door.keepFresh(listener);
    enterStudy(registry, planned.plan, { address: listener.address });
    return new Guarded(folder, { door, registry }, planned, (refusals) => {
      refused = refusals;
      return listener;
    });
  }

  get url(): string {
    return this.listener.address;
  }

  get serverFolder(): string {
    return join(this.folder, 'server');
  }

  siteFolder(name: string): string {
    return join(this.folder, `site-${name}`);
  }

  /** Runs the study's server to its end. */
  serve(settings: PartySettings = {}, onConnected: (site: string) => void = () => undefined): Promise<Outcome> {
    return serve(this.planned, this.listener, { ...settings, gate: this.door.gate }, (event) => {
      if (event.kind === 'refused')
        this.door.refused(event, ({ code, reason }) => this.refusals.push({ code, reason }));
      if (event.kind === 'site' && event.state === 'connected') onConnected(event.site);
    });
  }

  async invite(site: string, validMs = 3_600_000): Promise<string> {
    return (await inviteSite(this.serverFolder, { site, validMs })).text;
  }

  /** Has a site join by an invite. */
  join(site: string, invite: string, place = site): Promise<string> {
    return joinStudy(this.siteFolder(place), readInvite(invite), { signal: new AbortController().signal });
  }

  /** Invites a site and has it join. */
  async enrol(site: string): Promise<Enrolment> {
    await this.join(site, await this.invite(site));
    return openEnrolment(this.siteFolder(site));
  }

  /** Takes part as a site that has joined, with its own keys or others. */
  async takePart(
    site: string,
    settings: PartySettings & { readonly url?: string; readonly proxy?: URL } = {},
  ): Promise<Outcome> {
    const { url = this.url, proxy, ...rest } = settings;
    const { keys, introduce } = await openEnrolment(this.siteFolder(site));
    const connect = async (signal: AbortSignal) =>
      connectWebSocket(url, { signal, introduction: await introduce(), proxy });
    return takePart(this.planned, this.planned.plan.sites.indexOf(site), connect, { keys, ...rest });
  }

  async keysOf(site: string): Promise<SiteKeys> {
    return (await openEnrolment(this.siteFolder(site))).keys;
  }

  async close(): Promise<void> {
    await this.listener.close();
    await this.door[Symbol.asyncDispose]();
    await this.registry[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}
